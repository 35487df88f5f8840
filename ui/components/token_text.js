// Shared by the token strip and the lanes: one list of tokens as text nodes, with keyboard, mouse and touch.
// Token text reaches the page through textContent only. Knows nothing of values, labels or Streamlit.

const CHIP_NAMES = {
  "\n": ["↵", "newline"], "\r": ["CR", "carriage return"], "\t": ["⇥", "tab"], "\u0000": ["NUL", "null"],
  "\u001b": ["ESC", "escape"], "\u007f": ["DEL", "delete"], "\u00ad": ["SHY", "soft hyphen"],
  "\u061c": ["ALM", "Arabic letter mark"], "\u200b": ["ZWSP", "zero-width space"],
  "\u200c": ["ZWNJ", "zero-width non-joiner"], "\u200d": ["ZWJ", "zero-width joiner"],
  "\u200e": ["LRM", "left-to-right mark"], "\u200f": ["RLM", "right-to-left mark"],
  "\u2028": ["LS", "line separator"], "\u2029": ["PS", "paragraph separator"],
  "\u202a": ["LRE", "left-to-right embedding"], "\u202b": ["RLE", "right-to-left embedding"],
  "\u202c": ["PDF", "pop directional formatting"], "\u202d": ["LRO", "left-to-right override"],
  "\u202e": ["RLO", "right-to-left override"], "\u2060": ["WJ", "word joiner"],
  "\u2066": ["LRI", "left-to-right isolate"], "\u2067": ["RLI", "right-to-left isolate"],
  "\u2068": ["FSI", "first strong isolate"], "\u2069": ["PDI", "pop directional isolate"],
  "\ufeff": ["BOM", "byte order mark"],
};
const PICTURE = "\\p{Extended_Pictographic}(?:\\uFE0F|[\\u{1F3FB}-\\u{1F3FF}])*";
const EMOJI = `${PICTURE}(?:\\u200D${PICTURE})*|[#*0-9]\\uFE0F\\u20E3`;
const INVISIBLE =
  "[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\u034F\\u115F\\u1160\\u17B4\\u17B5\\u180B-\\u180F\\u3164\\uFE00-\\uFE0F\\uFFA0]";
const HAS_INVISIBLE = new RegExp(INVISIBLE, "u");
const EMOJI_OR_INVISIBLE = new RegExp(`(?:${EMOJI})|(${INVISIBLE})`, "gu");
const SPECIAL = /^<[|｜][^<>]{1,60}[|｜]>$/u;
const SENTENCE_END = /[.!?…]["'”’)\]]*\s*$/u;

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function chipName(char) {
  const code = char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  return CHIP_NAMES[char] ?? [`U+${code}`, `character U+${code}`];
}

function appendChip(node, short, name) {
  const chip = element("span", "chip", short);
  chip.setAttribute("aria-label", name);
  node.append(chip);
}

function fillToken(node, piece, fullLength) {
  if (SPECIAL.test(piece)) {
    appendChip(node, piece.replaceAll("｜", "|").replaceAll("▁", "_"), "special token");
  } else if (!HAS_INVISIBLE.test(piece)) {
    node.textContent = piece;
  } else {
    let end = 0;
    for (const match of piece.matchAll(EMOJI_OR_INVISIBLE)) {
      if (match[1] === undefined) continue;
      node.append(piece.slice(end, match.index));
      appendChip(node, ...chipName(match[1]));
      if (match[1] === "\n") node.append("\n");
      end = match.index + match[1].length;
    }
    node.append(piece.slice(end));
  }
  if (fullLength) {
    const told = `${fullLength.toLocaleString("en")} characters in all`;
    appendChip(node, `… ${told}`, told);
  }
}

function quoted(piece) {
  const shown = piece.length > 60 ? `${piece.slice(0, 60)}…` : piece;
  return `“${shown.replace(EMOJI_OR_INVISIBLE, (all, odd) => (odd === undefined ? all : `[${chipName(odd)[1]}]`))}”`;
}

function sentenceStarts(pieces, extra = []) {
  const starts = new Set([0, ...extra]);
  for (let i = 1; i < pieces.length; i += 1) {
    if (SENTENCE_END.test(pieces[i - 1]) || pieces[i - 1].includes("\n")) starts.add(i);
  }
  return [...starts].filter((i) => i < pieces.length).sort((a, b) => a - b);
}

function sentenceStep(starts, at, step) {
  if (step > 0) return starts.find((s) => s > at) ?? at;
  return starts.findLast((s) => s < at) ?? 0;
}

// One scrolling box of tokens. `offset` is the index of the first token shown; every index outside is absolute.
class TokenList {
  constructor(box, id, { onMove, onPin, onLeave }) {
    Object.assign(this, { box, id, onMove, onPin, onLeave });
    Object.assign(this, { nodes: [], pieces: [], offset: 0, total: 0, starts: [0], jumps: [] });
    Object.assign(this, { cursor: null, pinned: null });
    box.tabIndex = 0;
    box.setAttribute("role", "listbox");
    box.addEventListener("click", (event) => this.#onClick(event));
    box.addEventListener("keydown", (event) => this.#onKey(event));
    box.addEventListener("pointerover", (event) => this.#onHover(event));
    box.addEventListener("pointerleave", () => this.onLeave?.());
    box.addEventListener("focus", () => this.#onFocus());
    box.addEventListener("blur", () => this.#mark("cursor", null));
  }

  // Keeps the nodes of the common beginning, drops what differs, appends the rest. Returns how many were kept.
  sync(pieces, { lengths = {}, offset = 0, total = pieces.length } = {}) {
    let kept = 0;
    const limit = this.offset === offset ? Math.min(this.pieces.length, pieces.length) : 0;
    while (kept < limit && this.pieces[kept] === pieces[kept]) kept += 1;
    for (const node of this.nodes.splice(kept)) node.remove();
    const fresh = document.createDocumentFragment();
    for (let i = kept; i < pieces.length; i += 1) {
      const node = element("span", "t");
      node.setAttribute("role", "option");
      node.setAttribute("aria-selected", "false");
      node.id = `${this.id}-${offset + i}`;
      fillToken(node, pieces[i], lengths[offset + i]);
      this.nodes.push(node);
      fresh.append(node);
    }
    this.box.append(fresh);
    Object.assign(this, { pieces, offset, total });
    if (this.pinned !== null) this.setPinned(this.pinned < total ? this.pinned : null);
    if (this.cursor !== null && this.cursor >= total) this.cursor = null;
    return kept;
  }

  node(index) {
    return index === null ? undefined : this.nodes[index - this.offset];
  }

  moveTo(index, reveal = true) {
    const target = Math.max(0, Math.min(this.total - 1, index));
    if (this.total === 0) return;
    this.onMove?.(target, true);
    this.#mark("cursor", target);
    this.cursor = target;
    const node = this.node(target);
    if (node) this.box.setAttribute("aria-activedescendant", node.id);
    if (node && reveal) node.scrollIntoView({ block: "nearest" });
  }

  // Scrolls the box alone: a jump from elsewhere on the page must not move the page.
  reveal(index) {
    const node = this.node(index);
    if (!node) return;
    const [inner, outer] = [node.getBoundingClientRect(), this.box.getBoundingClientRect()];
    if (inner.top < outer.top + 8) this.box.scrollTop -= outer.top - inner.top + 40;
    else if (inner.bottom > outer.bottom - 8) this.box.scrollTop += inner.bottom - outer.bottom + 40;
  }

  setFound(index) {
    this.#mark("found", index);
  }

  setPinned(index) {
    this.node(this.pinned)?.setAttribute("aria-selected", "false");
    this.#mark("pinned", index);
    this.pinned = index;
    this.node(index)?.setAttribute("aria-selected", "true");
  }

  #toJump(index) {
    if (index !== undefined) this.moveTo(index);
  }

  #mark(name, index) {
    for (const node of this.box.querySelectorAll(`.t.${name}`)) node.classList.remove(name);
    this.node(index)?.classList.add(name);
  }

  #onFocus() {
    if (this.box.matches(":focus-visible")) this.moveTo(this.cursor ?? this.pinned ?? this.offset, false);
  }

  #indexOf(event) {
    const node = event.target.closest?.(".t");
    return node && this.box.contains(node) ? Number(node.id.slice(node.id.lastIndexOf("-") + 1)) : null;
  }

  #onClick(event) {
    const index = this.#indexOf(event);
    if (index === null || String(this.box.getRootNode().getSelection?.() ?? "").length > 1) return;
    this.cursor = index;
    this.onPin(index === this.pinned ? null : index);
  }

  #onHover(event) {
    const index = event.pointerType === "mouse" ? this.#indexOf(event) : null;
    if (index !== null) this.onMove?.(index, false);
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.cursor ?? this.pinned ?? this.offset;
    const moves = {
      ArrowRight: () => this.moveTo(at + 1), ArrowLeft: () => this.moveTo(at - 1),
      Home: () => this.moveTo(0), End: () => this.moveTo(this.total - 1),
      ArrowDown: () => this.moveTo(sentenceStep(this.starts, at, 1)),
      ArrowUp: () => this.moveTo(sentenceStep(this.starts, at, -1)),
      PageDown: () => this.moveTo(at + 100), PageUp: () => this.moveTo(at - 100),
      e: () => this.#toJump(this.jumps.find((i) => i > at)), E: () => this.#toJump(this.jumps.findLast((i) => i < at)),
      Enter: () => this.onPin(at), " ": () => this.onPin(at), Escape: () => this.onPin(null),
    };
    if (!(event.key in moves) || this.total === 0) return;
    event.preventDefault();
    event.stopPropagation();
    moves[event.key]();
  }
}
