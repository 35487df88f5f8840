// Lanes as one PNG, drawn in the browser with the page's own fonts and colours. Needs token_text.js before it.

const SHEET = { column: 720, pad: 28, line: 36, size: 22, small: 17, tallest: 16000 };

// Lines of tokens for one column: a token that does not fit begins the next line; newlines are kept.
function pictureLines(ctx, lane, width, family) {
  const keywords = new Set(lane.highlights);
  const lines = [[]];
  let x = 0;
  lane.pieces.forEach((piece, i) => {
    const bold = keywords.has(i);
    ctx.font = `${bold ? 700 : 400} ${SHEET.size}px ${family}`;
    piece.split("\n").forEach((part, k) => {
      if (k > 0) { lines.push([]); x = 0; }
      let text = part.replace(EMOJI_OR_INVISIBLE, (all, odd) => (odd === undefined ? all : "\ufffd"));
      if (x + ctx.measureText(text.trimEnd()).width > width && x > 0) { lines.push([]); x = 0; text = text.trimStart(); }
      if (!text) return;
      const wide = ctx.measureText(text).width;
      lines.at(-1).push({ text, x, wide, bold, diverged: i === lane.diverged });
      x += wide;
    });
  });
  return lines;
}

function drawPictureColumn(ctx, lane, lines, left, colour, family) {
  const width = SHEET.column - 2 * SHEET.pad;
  ctx.fillStyle = colour("--st-text-color");
  ctx.font = `700 ${SHEET.size + 2}px ${family}`;
  ctx.fillText(lane.title, left, SHEET.pad + 24, width);
  ctx.font = `400 ${SHEET.small}px ${family}`;
  ctx.fillText(lane.subtitle, left, SHEET.pad + 52, width);
  if (lane.note) ctx.fillText(lane.note, left, SHEET.pad + 76, width);
  lines.forEach((line, row) => {
    const y = SHEET.pad + 120 + row * SHEET.line;
    for (const token of line) {
      ctx.globalAlpha = 0.4;
      ctx.fillStyle = colour("--st-blue-color");
      if (token.bold) ctx.fillRect(left + token.x, y - SHEET.size, token.wide, SHEET.size * 1.35);
      ctx.globalAlpha = 1;
      ctx.fillStyle = colour("--st-orange-color");
      if (token.diverged) ctx.fillRect(left + token.x, y + 6, token.wide, 4);
      ctx.fillStyle = colour("--st-text-color");
      ctx.font = `${token.bold ? 700 : 400} ${SHEET.size}px ${family}`;
      ctx.fillText(token.text, left + token.x, y);
    }
  });
}

function lanesPicture(lanes, root) {
  const style = getComputedStyle(root);
  const colour = (name) => style.getPropertyValue(name).trim() || "#777";
  const canvas = document.createElement("canvas");
  const ctx = canvas.getContext("2d");
  const columns = lanes.map((lane) => pictureLines(ctx, lane, SHEET.column - 2 * SHEET.pad, style.fontFamily));
  const height = SHEET.pad * 2 + 120 + Math.max(...columns.map((lines) => lines.length)) * SHEET.line;
  const scale = Math.min(2, SHEET.tallest / height);
  canvas.width = lanes.length * SHEET.column * scale;
  canvas.height = height * scale;
  ctx.scale(scale, scale);
  ctx.fillStyle = colour("--st-background-color");
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  lanes.forEach((lane, i) => {
    drawPictureColumn(ctx, lane, columns[i], i * SHEET.column + SHEET.pad, colour, style.fontFamily);
  });
  return canvas;
}

function savePicture(lanes, root) {
  lanesPicture(lanes, root).toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "retrace-lanes.png";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }, "image/png");
}
