// The theme's colours for rules that hold outside the component: Streamlit gives them to components alone.

const NAMES = ["--st-background-color", "--st-primary-color"];

export default function ({ parentElement }) {
  const app = document.querySelector(".stApp");
  const take = () => {
    const style = getComputedStyle(parentElement);
    NAMES.forEach((name) => app.style.setProperty(name, style.getPropertyValue(name)));
  };
  take();
  const seen = new MutationObserver(take);
  seen.observe(app, { attributes: true, attributeFilter: ["class"] });
  return () => seen.disconnect();
}
