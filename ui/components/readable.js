// What rules of every page need beside CSS: the theme's colours, which Streamlit gives to components alone, and the
// controls that were pressed. A press is answered here, within a frame, however busy the server is.

const COLOURS = ["--st-background-color", "--st-primary-color"];
const within = (names, what) => names.map((name) => `[data-testid=st${name}] ${what}`);
const CONTROLS = [
  ...within(["Button", "FormSubmitButton", "ButtonGroup", "NumberInput"], "button:not([aria-haspopup])"),
  ...within(["SidebarNav", "PageLink"], "a"),
  ...["Slider", "Checkbox", "Radio"].map((name) => `[data-testid=st${name}]`),
].join(", ");
const KEYS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"];
const LEAST = 300, MOST = 8000; // ms that a mark stays: to be seen; where no script began, as without a server

export default function ({ parentElement }) {
  const app = document.querySelector(".stApp");
  const take = () => {
    const style = getComputedStyle(parentElement);
    COLOURS.forEach((name) => app.style.setProperty(name, style.getPropertyValue(name)));
  };
  let since = 0, timer = 0;
  const release = () => document.querySelectorAll("[data-asked]").forEach((one) => one.removeAttribute("data-asked"));
  const after = (ms, act) => {
    clearTimeout(timer);
    timer = setTimeout(act, ms);
  };
  const isIdle = () => app.dataset.testScriptState === "notRunning";
  const settle = () => {
    if (isIdle()) after(Math.max(0, since + LEAST - performance.now()), () => isIdle() && release());
  };
  const mark = (target) => {
    const control = target.closest?.(CONTROLS);
    if (!control || control.matches(":disabled, [aria-checked=true][role=radio]")) return;
    control.dataset.asked = app.dataset.asked = "";
    since = performance.now();
    after(MOST, release);
  };
  const onClick = (event) => mark(event.target);
  const onKey = (event) => {
    if (KEYS.includes(event.key) && event.target.closest?.("[data-testid=stSlider]")) mark(event.target);
  };
  take();
  const themes = new MutationObserver(take), scripts = new MutationObserver(settle);
  themes.observe(app, { attributes: true, attributeFilter: ["class"] });
  scripts.observe(app, { attributes: true, attributeFilter: ["data-test-script-state"] });
  document.addEventListener("click", onClick, true);
  document.addEventListener("keydown", onKey, true);
  return () => {
    themes.disconnect();
    scripts.disconnect();
    document.removeEventListener("click", onClick, true);
    document.removeEventListener("keydown", onKey, true);
    clearTimeout(timer);
    release();
  };
}
