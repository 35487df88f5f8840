// The token strip: one text, coloured by one reading, with parts, events, window and keywords marked.
// Colours live in the style sheet; this file sets a magnitude from 0 to 1 and names. Needs token_text.js and strip_reader.js before it.

const PAGE = 6000;
const ROW_HEIGHT = 5;
const AT_A_TIME = 300;
const AFTER_FRAME = 50;
const FRAMES_TO_SETTLE = 4;

function swatch(text, name, value) {
  const item = element("span", "entry");
  const sample = element("span", "sample", "ab");
  sample.dataset[name] = value;
  sample.setAttribute("aria-hidden", "true");
  item.append(sample, element("span", "", text));
  return item;
}

function told({ name, unit, low }, value) {
  return `${name}: ${value === null ? "no value" : `${formatted(value, low < 0)} ${unit}`.trim()}`;
}

// The colour of one thin bar below a token; numbers alone go into the style, never text.
function stripe({ values, low, high }, i) {
  const value = values[i] ?? null;
  const percent = Math.round(shareOf(value, low, high) * 90);
  const hue = value < 0 ? "orange" : "blue";
  const fill = percent ? `color-mix(in srgb, var(--st-${hue}-color) ${percent}%, transparent)` : "var(--bar-ground)";
  return `linear-gradient(${fill}, ${fill})`;
}

// Finds text across tokens, without regard to case. The found token is shown, not pinned.
class StripSearch {
  constructor(onFound) {
    this.onFound = onFound;
    this.root = element("div", "search");
    this.root.setAttribute("role", "search");
    this.field = element("input");
    this.field.type = "search";
    this.field.placeholder = "Find in the text";
    this.field.setAttribute("aria-label", "Find in the text");
    this.previous = element("button", "", "‹");
    this.next = element("button", "", "›");
    this.previous.setAttribute("aria-label", "Previous match");
    this.next.setAttribute("aria-label", "Next match");
    this.count = element("span");
    this.count.setAttribute("role", "status");
    this.root.append(this.field, this.previous, this.next, this.count);
    this.field.addEventListener("input", () => this.#find());
    this.field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") this.#step(event.shiftKey ? -1 : 1);
    });
    this.previous.addEventListener("click", () => this.#step(-1));
    this.next.addEventListener("click", () => this.#step(1));
    this.matches = [];
    this.at = -1;
  }

  update(data, sameText) {
    this.root.hidden = !data.search;
    if (sameText) return;
    this.pieces = data.pieces;
    this.#find();
  }

  #find() {
    const wanted = this.field.value.toLowerCase();
    this.matches = [];
    this.at = -1;
    if (wanted) {
      const starts = [];
      let text = "";
      for (const piece of this.pieces) {
        starts.push(text.length);
        text += piece.toLowerCase();
      }
      let token = 0;
      for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
        while (token + 1 < starts.length && starts[token + 1] <= at) token += 1;
        if (this.matches.at(-1) !== token) this.matches.push(token);
      }
      if (this.matches.length) this.#step(1);
    }
    this.#tell();
  }

  #step(by) {
    const n = this.matches.length;
    if (n === 0) return;
    this.at = (this.at + by + n) % n;
    this.onFound(this.matches[this.at]);
    this.#tell();
  }

  #tell() {
    const n = this.matches.length;
    this.count.textContent = !this.field.value ? "" : n ? `${this.at + 1} of ${n}` : "not found";
    this.previous.disabled = this.next.disabled = n === 0;
  }
}

class StripView {
  constructor(host) {
    this.root = element("section", "strip");
    this.legend = element("div", "legend");
    this.search = new StripSearch((index) => this.#show(index));
    this.rail = new HeatRail((index) => this.#go(index));
    this.box = element("div", "tokens");
    this.body = element("div", "body");
    this.body.append(this.rail.root, this.box);
    this.cards = new SentenceCards(this.box);
    this.height = new WindowHeight(this.body);
    this.status = element("div", "status");
    this.status.setAttribute("role", "status");
    this.pager = element("div", "pager");
    this.tip = element("div", "tip");
    this.tip.setAttribute("aria-hidden", "true");
    this.foot = element("div", "foot");
    this.root.append(this.legend, this.body, this.pager, this.foot, this.tip);
    host.append(this.root);
    this.list = new TokenList(this.box, "token", {
      onMove: (index, byKey) => this.#onMove(index, byKey),
      onPin: (index) => this.#onPin(index),
      onLeave: () => this.#hideTip(),
    });
    this.box.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    this.box.addEventListener("blur", () => this.#hideTip());
    this.#buildPager();
    this.page = 0;
    this.data = null;
  }

  update(data, send) {
    const before = this.data;
    this.data = data;
    this.send = send;
    if (before?.stamp !== data.stamp) this.#draw(before);
    else if (before.jump !== data.jump) this.#jump(data.pinned);
    this.#drawStatus();
  }

  #draw(before) {
    const { data } = this;
    this.root.classList.toggle("stage", data.size === "stage");
    this.#arrange(data);
    this.box.setAttribute("aria-label", data.label);
    const sameText = before?.pieces.length === data.pieces.length && this.#sameWords(before.pieces);
    this.sameText = sameText;
    if (!sameText) this.page = 0;
    this.search.update(data, sameText);
    const n = data.rows.length;
    this.box.style.setProperty("--rows", n * ROW_HEIGHT);
    const places = data.rows.map((_, k) => `left 0 bottom ${(n - 1 - k) * ROW_HEIGHT}px`);
    this.box.style.setProperty("--row-places", places.join(", ") || "0 0");
    this.#index();
    this.#showPage(this.page);
    this.#drawLegend();
    this.rail.paint(data);
    if (!sameText || before.jump !== data.jump) this.#jump(data.pinned, !sameText);
  }

  // As a reader, the search stands below the text, so that more of the text is in sight.
  #arrange({ height, sentences }) {
    const reads = sentences.length > 0;
    this.root.classList.toggle("windowed", height === "window");
    this.box.style.maxHeight = Number.isFinite(height) ? `${height}px` : "";
    if (height === "window") this.height.measure();
    if (this.reads === reads) return;
    this.reads = reads;
    this.root.classList.toggle("reader", reads);
    this.rail.root.hidden = !reads;
    this.foot.append(this.status);
    if (reads) this.foot.append(this.search.root);
    else this.root.insertBefore(this.search.root, this.body);
  }

  #sameWords(pieces) {
    return pieces.every((piece, i) => piece === this.data.pieces[i]);
  }

  #index() {
    const { events, window: tinted, keywords, parts, pieces, sentences } = this.data;
    this.events = new Set(events);
    this.window = new Set(tinted);
    this.keywords = new Set(keywords);
    this.targets = new Set(this.data.targets);
    this.list.jumps = events.length ? events : keywords.filter((i) => !this.keywords.has(i - 1));
    this.list.starts = sentences.length ? sentences : sentenceStarts(pieces, parts.map((part) => part[0]));
    this.partOf = new Int16Array(pieces.length).fill(-1);
    for (const [start, end, label] of parts) this.partOf.fill(label, start, end);
  }

  #showPage(page) {
    const total = this.data.pieces.length;
    this.page = Math.max(0, Math.min(page, Math.ceil(total / PAGE) - 1));
    const offset = this.page * PAGE;
    const shown = total <= PAGE ? this.data.pieces : this.data.pieces.slice(offset, offset + PAGE);
    this.cards.keepFor(this.data.sentences, offset, this.sameText);
    const kept = this.list.sync(shown, { lengths: this.data.lengths, offset, total });
    this.cards.lay(this.list.nodes, this.data.sentences, offset);
    this.cards.paint(this.data, this.partOf);
    this.#paintAll(kept === shown.length ? this.#inSight() : [0, shown.length]);
    this.#setPinned(this.list.pinned);
    this.pager.hidden = total <= PAGE;
    const last = Math.min(offset + PAGE, total);
    this.pagerText.textContent = `Tokens ${offset} to ${last - 1} of ${total.toLocaleString("en")}`;
    this.previous.disabled = this.page === 0;
    this.next.disabled = last === total;
  }

  // [first, last[ of the nodes that the scrolling box shows now.
  #inSight() {
    const { nodes, offset } = this.list;
    const { top, bottom } = this.box.getBoundingClientRect();
    const [from, to] = this.cards.between(top, bottom) ?? [offset, offset + nodes.length];
    const first = firstBelow(nodes, top, from - offset, to - offset);
    return [first, Math.min(firstBelow(nodes, bottom, first, to - offset) + 1, nodes.length)];
  }

  // Paints [first, last[ at once, and the others in parts once that is on screen: a long text makes no switch wait.
  #paintAll([first, last]) {
    clearTimeout(this.later);
    const { nodes, offset } = this.list;
    const paint = (from, to) => nodes.slice(from, to).forEach((node, k) => this.#paint(node, offset + from + k));
    paint(first, last);
    let [before, after] = [first, last];
    const next = () => {
      if (before === 0 && after === nodes.length) return;
      paint(Math.max(0, before - AT_A_TIME), before);
      paint(after, after + AT_A_TIME);
      before = Math.max(0, before - AT_A_TIME);
      after = Math.min(nodes.length, after + AT_A_TIME);
      this.later = setTimeout(next, 0);
    };
    this.later = setTimeout(next, AFTER_FRAME);
  }

  #paint(node, i) {
    const { values, low, high, start, labels, rows } = this.data;
    const value = values?.[i] ?? null;
    const share = shareOf(value, low, high);
    setData(node, "sign", share === 0 ? undefined : value < 0 ? "minus" : "plus");
    const magnitude = share === 0 ? "" : share.toFixed(3);
    if (node.style.getPropertyValue("--m") !== magnitude) node.style.setProperty("--m", magnitude);
    setData(node, "part", labels[this.partOf[i]]?.[1]);
    setData(node, "mark", this.events.has(i) ? "event" : this.keywords.has(i) ? "keyword" : undefined);
    setData(node, "window", this.#windowPlace(i));
    setData(node, "prompt", i < start ? "" : undefined);
    setData(node, "target", this.targets.has(i) ? "" : undefined);
    node.style.backgroundImage = rows.length ? rows.map((row) => stripe(row, i)).join(",") : "";
  }

  #windowPlace(i) {
    if (!this.window.has(i)) return undefined;
    const [left, right] = [this.window.has(i - 1), this.window.has(i + 1)];
    return left && right ? "middle" : left ? "last" : right ? "first" : "only";
  }

  #jump(index, opens = false) {
    this.list.cursor = null;
    if (index !== null) this.#showPage(Math.floor(index / PAGE));
    this.#setPinned(index);
    if (index === null) this.box.scrollTop = 0;
    else if (this.reads && (opens || !this.#shows(index))) this.#go(index);
    else this.list.reveal(index);
    this.#tellPlace();
  }

  #shows(index) {
    const [first, last] = this.#inSight();
    return index - this.list.offset > first && index - this.list.offset < last - 1;
  }

  #setPinned(index) {
    this.list.setPinned(index);
    this.cards.setPinned(index);
    this.#tellPlace();
  }

  // Scrolls to a token, a third from the top; again in the next frames, for cards get their height when they come into sight.
  #go(index, again = FRAMES_TO_SETTLE) {
    cancelAnimationFrame(this.going);
    if (Math.floor(index / PAGE) !== this.page) this.#showPage(Math.floor(index / PAGE));
    const node = this.list.node(index);
    if (!node) return;
    const { top, height } = this.box.getBoundingClientRect();
    this.box.scrollTop += node.getBoundingClientRect().top - top - height / 3;
    this.#tellPlace();
    if (again) this.going = requestAnimationFrame(() => this.#go(index, again - 1));
  }

  #onScroll() {
    this.#hideTip();
    if (this.placing || !this.reads) return;
    this.placing = requestAnimationFrame(() => {
      this.placing = 0;
      this.#tellPlace();
    });
  }

  #tellPlace() {
    if (!this.reads) return;
    const [first, last] = this.#inSight();
    this.rail.place(this.list.offset + first, this.list.offset + last, this.list.pinned);
  }

  #show(index) {
    if (Math.floor(index / PAGE) !== this.page) this.#showPage(Math.floor(index / PAGE));
    this.list.reveal(index);
    this.list.setFound(index);
  }

  #onMove(index, byKey) {
    if (byKey && Math.floor(index / PAGE) !== this.page) this.#showPage(Math.floor(index / PAGE));
    const node = this.list.node(index);
    if (byKey) {
      node.setAttribute("aria-label", this.#describe(index).join(", "));
      node.scrollIntoView({ block: "nearest" });
    }
    this.tip.replaceChildren(...this.#describe(index).map((line) => element("div", "", line)));
    this.#placeTip(node);
  }

  #onPin(index) {
    this.#setPinned(index);
    this.#drawStatus();
    this.send(index);
  }

  #describe(i) {
    const { values, name, unit, low, start, labels } = this.data;
    const lines = [quoted(this.data.pieces[i])];
    const value = values?.[i] ?? null;
    if (name) lines.push(told({ name, unit, low }, value));
    const place = i < start ? " (in the prompt)" : start ? ` (${i - start} of the text)` : "";
    lines.push(`token ${i}${place}`);
    const label = labels[this.partOf[i]];
    if (label) lines.push(label[0]);
    if (this.events.has(i)) lines.push("event");
    if (this.window.has(i)) lines.push("in the window");
    if (this.keywords.has(i)) lines.push("keyword");
    if (this.targets.has(i)) lines.push("the prediction here is the target");
    for (const row of this.data.rows) lines.push(told(row, row.values[i] ?? null));
    return lines;
  }

  #drawStatus() {
    const pinned = this.list.pinned;
    const keys = "arrows move, up and down by sentence, E to the next event, Enter pins, Esc lets go";
    const hint = `Click a token to pin it. Keys: ${keys}.`;
    const text = pinned === null ? hint : `Pinned: ${this.#describe(pinned).join(" · ")}`;
    if (this.status.textContent !== text) this.status.textContent = text;
    this.status.classList.toggle("hint", pinned === null);
  }

  #placeTip(node) {
    this.tip.classList.add("shown");
    const outer = this.root.getBoundingClientRect();
    const line = node.getClientRects()[0] ?? node.getBoundingClientRect();
    const tip = this.tip.getBoundingClientRect();
    const left = Math.min(line.left - outer.left, outer.width - tip.width - 4);
    const above = line.top - outer.top - tip.height - 6;
    const top = line.top - tip.height - 6 < 60 ? line.bottom - outer.top + 8 : above;
    this.tip.style.transform = `translate(${Math.max(0, left)}px, ${top}px)`;
  }

  #hideTip() {
    this.tip.classList.remove("shown");
  }

  #buildPager() {
    this.previous = element("button", "", "‹ Previous");
    this.next = element("button", "", "Next ›");
    this.pagerText = element("span");
    this.previous.addEventListener("click", () => this.#turn(-1));
    this.next.addEventListener("click", () => this.#turn(1));
    this.pager.append(this.previous, this.pagerText, this.next);
  }

  #turn(step) {
    this.list.cursor = null;
    this.#showPage(this.page + step);
    this.box.scrollTop = 0;
  }

  #drawLegend() {
    const { name, unit, low, high, labels, start, rows } = this.data;
    const bars = rows.map((row) => [row.name, row.unit, row.low, row.high]);
    const kinds = [labels, start > 0, this.reads];
    const stamp = JSON.stringify([name, unit, low, high, kinds, bars, ...this.#marks()]);
    if (this.stamp === stamp) return;
    this.stamp = stamp;
    this.legend.replaceChildren();
    if (name) this.legend.append(this.#scale(name, unit, low, high));
    bars.forEach((bar, k) => this.legend.append(this.#scale(`Bar ${k + 1}: ${bar[0]}`, ...bar.slice(1))));
    if (!this.reads) for (const [label, style] of labels) this.legend.append(swatch(label, "part", style));
    if (this.events.size) this.legend.append(swatch("event", "mark", "event"));
    if (this.window.size) this.legend.append(swatch("window", "window", "only"));
    if (this.keywords.size) this.legend.append(swatch("keyword", "mark", "keyword"));
    if (this.targets.size) this.legend.append(swatch("target", "target", ""));
    if (start > 0 && !this.reads) this.legend.append(swatch("prompt", "prompt", ""));
  }

  #marks() {
    return [this.events.size > 0, this.window.size > 0, this.keywords.size > 0, this.targets.size > 0];
  }

  #scale(name, unit, low, high) {
    const scale = element("span", "entry scale");
    const bar = element("span", "bar");
    bar.style.setProperty("--zero", `${(-low / (high - low)) * 100}%`);
    const title = element("strong", "", unit ? `${name} (${unit})` : name);
    scale.append(title, element("span", "", formatted(low, true)), bar, element("span", "", formatted(high, low < 0)));
    return scale;
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.tokenStrip ??= new StripView(parentElement);
  parentElement.tokenStrip.update(data, (token) => setTriggerValue("pin", { token }));
}
