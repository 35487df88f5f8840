// Reading a whole text in the token strip: its sentences as cards, and a rail with every reading of the text beside it.
// Needs token_text.js before it. Colours live in the style sheet; text is set as text.

const RAIL_STEPS = 240;
const RAIL_KEYS = { ArrowUp: -0.02, ArrowDown: 0.02, PageUp: -0.1, PageDown: 0.1, Home: -1, End: 1 };

function setData(node, name, value) {
  if (value === undefined) delete node.dataset[name];
  else if (node.dataset[name] !== value) node.dataset[name] = value;
}

// Numbers alone go into a style, never text.
function tint(isNegative, percent) {
  return `color-mix(in srgb, var(--st-${isNegative ? "orange" : "blue"}-color) ${percent}%, transparent)`;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function shareOf(value, low, high) {
  return value === null ? 0 : Math.min(1, value / (value < 0 ? low || -high : high) || 0);
}

function formatted(value, signed) {
  const text = String(Number(Math.abs(value).toPrecision(3)));
  if (value < 0) return `−${text}`;
  return signed && value > 0 ? `+${text}` : text;
}

// The first of these elements, in [low, high[ and in order down the page, that ends below an edge; `high` if none does.
function firstBelow(elements, edge, low, high) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (elements[middle].getBoundingClientRect().bottom < edge) low = middle + 1;
    else high = middle;
  }
  return low;
}

// The height of a window above an element when nothing is scrolled, and what scrolls it.
function placeOf(element) {
  let node = element.parentElement ?? element.getRootNode().host;
  while (node && !(/auto|scroll/.test(getComputedStyle(node).overflowY) && node.clientHeight)) {
    node = node.parentElement ?? node.getRootNode().host;
  }
  const top = element.getBoundingClientRect().top;
  if (!node || node === document.documentElement) return { above: top + window.scrollY, scroller: document.body };
  return { above: top + node.scrollTop, scroller: node };
}

// Gives an element what the window has below the elements above it, also when these change.
class WindowHeight {
  constructor(element) {
    this.element = element;
    this.observer = new ResizeObserver(() => this.measure());
    window.addEventListener("resize", () => this.measure());
  }

  measure() {
    if (!this.element.isConnected) return;
    const { above, scroller } = placeOf(this.element);
    const content = scroller.firstElementChild;
    if (content && content !== this.watched) {
      this.observer.disconnect();
      this.observer.observe(content);
      this.watched = content;
    }
    this.element.style.setProperty("--above", `${Math.round(above)}px`);
  }
}

// Sentences as cards around the tokens of a list: each says its label and the mean of its readings.
class SentenceCards {
  constructor(box) {
    this.box = box;
    this.cards = [];
    this.stamp = "";
  }

  // Takes the cards away unless they stand around these tokens as they are.
  keepFor(starts, offset, sameText) {
    const stamp = JSON.stringify([offset, starts]);
    if (this.stamp === stamp && sameText) return;
    this.box.replaceChildren(...[...this.box.querySelectorAll(".t")]);
    this.cards = [];
    this.stamp = stamp;
  }

  lay(nodes, starts, offset) {
    if (this.cards.length || !starts.length) return;
    const inside = starts.filter((start) => start > offset && start < offset + nodes.length);
    const edges = [offset, ...inside, offset + nodes.length];
    const fresh = document.createDocumentFragment();
    for (let k = 0; k + 1 < edges.length; k += 1) {
      const root = element("div", "card");
      root.setAttribute("role", "group");
      const about = element("div", "about");
      about.setAttribute("aria-hidden", "true");
      const [tag, mean] = [element("span", "tag"), element("span", "mean")];
      about.append(tag, mean);
      root.append(about, ...nodes.slice(edges[k] - offset, edges[k + 1] - offset));
      this.cards.push({ root, tag, mean, start: edges[k], stop: edges[k + 1] });
      fresh.append(root);
    }
    this.box.append(fresh);
  }

  paint({ values, low, high, labels, start, name }, partOf) {
    for (const card of this.cards) {
      const known = values?.slice(card.start, card.stop).filter((value) => value !== null) ?? [];
      const mean = known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
      const share = shareOf(mean, low, high);
      const label = card.start < start ? ["prompt", ""] : labels[partOf[card.start]];
      // No variable: one would be inherited, and every token be styled anew.
      card.root.style.borderLeftColor = share === 0 ? "" : tint(mean < 0, 20 + Math.round(80 * share));
      setData(card.tag, "part", label?.[1] || undefined);
      setText(card.tag, label?.[0] ?? "");
      setText(card.mean, mean === null ? "" : formatted(mean, low < 0));
      const told = mean === null ? "" : `mean of ${name || "the reading"} ${formatted(mean, low < 0)}`;
      card.root.setAttribute("aria-label", [label?.[0], told].filter(Boolean).join(", ") || "sentence");
    }
  }

  // [first, last[ of the tokens whose cards lie between two edges; what is out of sight is laid out by no one.
  between(top, bottom) {
    if (!this.cards.length) return null;
    const roots = this.cards.map(({ root }) => root);
    const first = Math.min(firstBelow(roots, top, 0, roots.length), roots.length - 1);
    const last = Math.min(firstBelow(roots, bottom, first, roots.length), roots.length - 1);
    return [this.cards[first].start, this.cards[last].stop];
  }

  setPinned(index) {
    for (const { root, start, stop } of this.cards) {
      root.classList.toggle("here", index !== null && start <= index && index < stop);
    }
  }
}

// The whole text as a strip of its readings, from top to bottom: a click or a drag goes there.
class HeatRail {
  constructor(onGo) {
    this.onGo = onGo;
    this.root = element("div", "rail");
    Object.assign(this.root, { tabIndex: 0, title: "The whole text: click to go there" });
    this.root.setAttribute("role", "slider");
    this.root.setAttribute("aria-orientation", "vertical");
    this.root.setAttribute("aria-label", "Place in the text");
    this.root.setAttribute("aria-valuemin", "0");
    [this.ticks, this.sight, this.pin] = ["ticks", "sight", "pin"].map((name) => element("div", name));
    this.root.append(this.ticks, this.sight, this.pin);
    this.total = 0;
    this.at = 0;
    this.root.addEventListener("pointerdown", (event) => {
      this.root.setPointerCapture(event.pointerId);
      this.#goTo(event);
    });
    this.root.addEventListener("pointermove", (event) => {
      if (this.root.hasPointerCapture(event.pointerId)) this.#goTo(event);
    });
    this.root.addEventListener("keydown", (event) => {
      if (!(event.key in RAIL_KEYS)) return;
      event.preventDefault();
      this.#go(this.at + Math.sign(RAIL_KEYS[event.key]) * Math.ceil(Math.abs(RAIL_KEYS[event.key]) * this.total));
    });
  }

  paint({ values, low, high, events, pieces }) {
    this.total = pieces.length;
    this.root.setAttribute("aria-valuemax", String(Math.max(this.total - 1, 0)));
    const steps = Math.min(RAIL_STEPS, this.total);
    const stops = [];
    for (let k = 0; k < steps; k += 1) {
      let strongest = 0;
      for (let i = Math.floor((k * this.total) / steps); i < Math.floor(((k + 1) * this.total) / steps); i += 1) {
        const share = shareOf(values?.[i] ?? null, low, high) * ((values?.[i] ?? 0) < 0 ? -1 : 1);
        if (Math.abs(share) > Math.abs(strongest)) strongest = share;
      }
      const colour = tint(strongest < 0, Math.round(Math.abs(strongest) * 100));
      stops.push(`${colour} ${((100 * k) / steps).toFixed(2)}% ${((100 * (k + 1)) / steps).toFixed(2)}%`);
    }
    this.root.style.backgroundImage = steps > 1 ? `linear-gradient(to bottom, ${stops.join(",")})` : "";
    const places = new Set(events.map((event) => this.#percent(event).toFixed(1)));
    this.ticks.replaceChildren(...[...places].map((place) => {
      const tick = element("div", "tick");
      tick.style.top = `${place}%`;
      return tick;
    }));
  }

  // Where one is: the tokens in sight, and the pinned one.
  place(first, last, pinned) {
    this.at = first;
    this.sight.style.top = `${this.#percent(first)}%`;
    this.sight.style.height = `${this.#percent(Math.max(last - first, 0))}%`;
    this.pin.hidden = pinned === null;
    if (pinned !== null) this.pin.style.top = `${this.#percent(pinned)}%`;
    this.root.setAttribute("aria-valuenow", String(first));
    this.root.setAttribute("aria-valuetext", `from token ${first} of ${this.total}`);
  }

  #percent(index) {
    return (100 * index) / Math.max(this.total, 1);
  }

  #goTo(event) {
    const { top, height } = this.root.getBoundingClientRect();
    this.#go(Math.round(((event.clientY - top) / Math.max(height, 1)) * this.total));
  }

  #go(index) {
    if (this.total) this.onGo(Math.max(0, Math.min(this.total - 1, index)));
  }
}
