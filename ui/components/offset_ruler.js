// The offset ruler: tokens around an event, and a window on them whose ends are dragged, tapped or moved by keys.
// Token text reaches the page through textContent only. Needs token_text.js before it.

const AFTER_KEYS = 350;

function signed(offset) {
  return offset < 0 ? `−${-offset}` : String(offset);
}

class RulerView {
  constructor(host) {
    this.root = element("section", "ruler");
    this.head = element("div", "head");
    this.ends = ["first", "last"].map((name) => this.#end(name));
    this.head.append("Window ", this.ends[0], " to ", this.ends[1], element("span", "hint", "drag an end, or use ← and →"));
    this.box = element("div", "cells");
    this.root.append(this.head, this.box);
    host.append(this.root);
    this.box.addEventListener("pointerdown", (event) => this.#grab(event));
    this.box.addEventListener("pointermove", (event) => this.#drag(event));
    this.box.addEventListener("pointerup", (event) => this.#drop(event));
    this.box.addEventListener("pointercancel", () => this.#let());
  }

  update(data, send) {
    this.send = send;
    if (this.data?.stamp !== data.stamp) this.#build(data);
    this.data = data;
    if (this.held === undefined && this.later === undefined) this.#show(data.window);
  }

  #end(name) {
    const end = element("span", "end");
    end.tabIndex = 0;
    end.setAttribute("role", "slider");
    end.setAttribute("aria-label", `${name === "first" ? "First" : "Last"} offset of the window`);
    const which = name === "first" ? 0 : 1;
    end.addEventListener("keydown", (event) => {
      const moved = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (moved === undefined) return;
      event.preventDefault();
      this.#move(which, this.window[which] + moved);
      clearTimeout(this.later);
      this.later = setTimeout(() => {
        this.later = undefined;
        this.send(this.window);
      }, AFTER_KEYS);
    });
    return end;
  }

  #build({ pieces, first }) {
    this.cells = pieces.map((piece, i) => {
      const cell = element("span", "cell");
      const token = element("span", "t");
      fillToken(token, piece);
      cell.dataset.offset = String(first + i);
      if (first + i === 0) cell.dataset.event = "";
      cell.append(token, element("span", "offset", signed(first + i)));
      return cell;
    });
    this.box.replaceChildren(...this.cells);
  }

  #show(window) {
    this.window = [...window];
    for (const cell of this.cells) {
      const offset = Number(cell.dataset.offset);
      const inside = window[0] <= offset && offset <= window[1];
      cell.classList.toggle("in", inside);
      cell.classList.toggle("from", offset === window[0]);
      cell.classList.toggle("to", offset === window[1]);
    }
    this.ends.forEach((end, which) => {
      end.textContent = signed(window[which]);
      end.setAttribute("aria-valuenow", String(window[which]));
      end.setAttribute("aria-valuemin", String(this.data.low));
      end.setAttribute("aria-valuemax", String(this.data.high));
    });
  }

  #move(which, offset) {
    const next = [...this.window];
    const held = Math.max(this.data.low, Math.min(this.data.high, offset));
    next[which] = which === 0 ? Math.min(held, next[1]) : Math.max(held, next[0]);
    this.#show(next);
  }

  #offsetAt({ clientX, clientY }) {
    const cell = this.box.getRootNode().elementFromPoint(clientX, clientY)?.closest(".cell");
    return cell ? Number(cell.dataset.offset) : undefined;
  }

  #grab(event) {
    const offset = this.#offsetAt(event);
    if (offset === undefined) return;
    this.before = [...this.window];
    this.held = Math.abs(offset - this.window[0]) <= Math.abs(offset - this.window[1]) ? 0 : 1;
    this.box.setPointerCapture(event.pointerId);
    this.#move(this.held, offset);
  }

  #drag(event) {
    const offset = this.held === undefined ? undefined : this.#offsetAt(event);
    if (offset !== undefined) this.#move(this.held, offset);
  }

  #drop() {
    if (this.held === undefined) return;
    this.held = undefined;
    if (String(this.before) !== String(this.window)) this.send(this.window);
  }

  // The browser took the gesture for a scroll.
  #let() {
    if (this.held === undefined) return;
    this.held = undefined;
    this.#show(this.before);
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.offsetRuler ??= new RulerView(parentElement);
  parentElement.offsetRuler.update(data, (window) => setTriggerValue("window", { first: window[0], last: window[1] }));
}
