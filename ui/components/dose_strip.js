// Dose strip: one column per coefficient with three bars and the beginning of its text; a click promotes it to a lane.

const ROWS = [["fraction", ""], ["repetition", "repetition"], ["nll", "NLL"]];

class DoseStrip {
  constructor(host) {
    this.room = element("div", "room");
    this.grid = element("div", "strip");
    this.grid.tabIndex = 0;
    this.grid.setAttribute("role", "listbox");
    this.grid.setAttribute("aria-label", "Doses");
    this.grid.setAttribute("aria-orientation", "horizontal");
    this.grid.addEventListener("click", (event) => this.#onClick(event));
    this.grid.addEventListener("keydown", (event) => this.#onKey(event));
    this.grid.addEventListener("focus", () => this.#mark(this.cursor ?? this.data.chosen ?? 0));
    this.grid.addEventListener("blur", () => this.#mark(null));
    this.room.append(this.grid);
    host.append(this.room);
  }

  update(data, send) {
    Object.assign(this, { data, send });
    this.grid.replaceChildren(this.#labels(), ...data.doses.map((dose, i) => this.#column(dose, i)));
    this.grid.style.setProperty("--n", data.doses.length);
    if (this.cursor !== undefined && this.grid.matches(":focus")) this.#mark(this.cursor);
  }

  #labels() {
    const column = element("div", "labels");
    const head = element("div", "head");
    head.append(element("b", "", this.data.units[0]), element("small", "", this.data.units[1]));
    column.append(head);
    for (const [name, label] of ROWS) {
      column.append(element("div", "bar-label", name === "fraction" ? this.data.counted : label));
    }
    column.append(element("div", "text-label", "text"));
    return column;
  }

  #column(dose, i) {
    const column = element("div", "dose");
    column.id = `dose-${i}`;
    column.setAttribute("role", "option");
    column.setAttribute("aria-selected", String(i === this.data.chosen));
    column.setAttribute("aria-label", dose.told);
    column.classList.toggle("coherent", dose.coherent);
    column.classList.toggle("band", dose.inBand);
    column.classList.toggle("chosen", i === this.data.chosen);
    column.classList.toggle("waiting", dose.state === "waiting");
    const head = element("div", "head");
    head.append(element("b", "", dose.label), element("small", "", dose.other));
    column.append(head);
    for (const [name] of ROWS) {
      const box = element("div", `bar ${name}`);
      box.append(element("span", "value", dose[name].shown));
      const fill = element("i");
      fill.style.height = `${Math.round(100 * dose[name].share)}%`;
      box.append(fill);
      column.append(box);
    }
    column.append(element("div", "text", dose.note ? `(${dose.note}) ${dose.text}` : dose.text));
    return column;
  }

  #mark(index) {
    for (const node of this.grid.querySelectorAll(".cursor")) node.classList.remove("cursor");
    if (index === null) return;
    this.cursor = Math.max(0, Math.min(this.data.doses.length - 1, index));
    const node = this.grid.querySelectorAll(".dose")[this.cursor];
    node?.classList.add("cursor");
    node?.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (node) this.grid.setAttribute("aria-activedescendant", node.id);
  }

  #onClick(event) {
    const node = event.target.closest?.(".dose");
    if (node && this.grid.contains(node)) this.#choose([...this.grid.querySelectorAll(".dose")].indexOf(node));
  }

  #choose(index) {
    this.cursor = index;
    if (this.data.doses[index]?.state === "done") this.send(index);
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.cursor ?? this.data.chosen ?? 0;
    const moves = {
      ArrowRight: () => this.#mark(at + 1), ArrowLeft: () => this.#mark(at - 1),
      Home: () => this.#mark(0), End: () => this.#mark(this.data.doses.length - 1),
      Enter: () => this.#choose(at), " ": () => this.#choose(at),
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    event.stopPropagation();
    moves[event.key]();
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.doseStrip ??= new DoseStrip(parentElement);
  parentElement.doseStrip.update(data, (index) => setTriggerValue("pick", { index }));
}
