// Markdown within a line: code, emphasis, links, strikethrough, hard breaks. A link goes to http,
// https or mailto and nowhere else; an image is shown as a link to it, for it is never loaded.

/// Bounds, so that no text takes more than a blink: longer ones are no prose.
const MOST = 20_000;
const LABEL = 2000;
const NESTED = 50;
const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', hellip: '…', mdash: '—', ndash: '–', copy: '©' };
const PUNCTUATION = /[!-/:-@[-`{-~\p{P}\p{S}]/u;
const ADDRESS = /https?:\/\/[^\s<>"'`\u0000-\u001f]*[^\s<>"'`.,;:!?*_~\u0000-\u001f]/uy;
const ESCAPED = /[!-/:-@[-`{-~]/;

/// The address of a link, where it may be one.
export function safeHref(address) {
  const trimmed = address.trim();
  if (!/^(?:https?:\/\/|mailto:)/i.test(trimmed)) return null;
  try {
    const url = new URL(trimmed);
    return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/// The pieces of a text: `text`, `code`, `strong`, `em`, `strike`, `link`, `break`.
export function parseInline(text) {
  if (text.length > MOST) return [{ type: 'text', text }];
  return emphasise(tokens(text));
}

function tokens(text) {
  const out = [];
  let plain = '';
  const flush = () => {
    if (plain) out.push({ type: 'text', text: plain });
    plain = '';
  };
  const push = node => {
    flush();
    out.push(node);
  };
  let at = 0;
  while (at < text.length) {
    const char = text[at];
    const found = special(text, at, char);
    if (!found) {
      plain += char;
      at += 1;
      continue;
    }
    if (typeof found.node === 'string') plain += found.node;
    else push(found.node);
    at = found.end;
  }
  flush();
  return out;
}

function special(text, at, char) {
  switch (char) {
    case '\\': return escape(text, at);
    case '`': return code(text, at);
    case '*': case '_': case '~': return delimiter(text, at, char);
    case '[': return link(text, at);
    case '!': return text[at + 1] === '[' ? image(text, at) : null;
    case '<': return angle(text, at);
    case '&': return entity(text, at);
    case ' ': {
      const spaces = /^ {2,}\n/.exec(text.slice(at, at + 40));
      return spaces && { node: { type: 'break' }, end: at + spaces[0].length };
    }
    case 'h': return bare(text, at);
    default: return null;
  }
}

function escape(text, at) {
  const next = text[at + 1];
  if (next === '\n') return { node: { type: 'break' }, end: at + 2 };
  return next && ESCAPED.test(next) ? { node: next, end: at + 2 } : null;
}

function code(text, at) {
  const run = /^`+/.exec(text.slice(at))[0];
  let end = at + run.length;
  for (;;) {
    end = text.indexOf(run, end);
    if (end < 0) return { node: run, end: at + run.length };
    const length = /^`+/.exec(text.slice(end))[0].length;
    if (length === run.length) break;
    end += length;
  }
  let inner = text.slice(at + run.length, end).replaceAll('\n', ' ');
  if (inner.trim() && inner.startsWith(' ') && inner.endsWith(' ')) inner = inner.slice(1, -1);
  return { node: { type: 'code', text: inner }, end: end + run.length };
}

function delimiter(text, at, char) {
  let end = at;
  while (text[end] === char) end += 1;
  const count = end - at;
  if (char === '~' && count !== 2) return { node: text.slice(at, end), end };
  const before = at ? text[at - 1] : ' ';
  const after = text[end] ?? ' ';
  const [spaceBefore, spaceAfter] = [/\s/.test(before), /\s/.test(after)];
  const [pointBefore, pointAfter] = [PUNCTUATION.test(before), PUNCTUATION.test(after)];
  const left = !spaceAfter && (!pointAfter || spaceBefore || pointBefore);
  const right = !spaceBefore && (!pointBefore || spaceAfter || pointAfter);
  const open = char === '_' ? left && (!right || pointBefore) : left;
  const close = char === '_' ? right && (!left || pointAfter) : right;
  return { node: { type: 'run', char, count, open, close }, end };
}

/// The end of a bracket that opens at `at`, nested ones passed over.
function closing(text, at, open, close) {
  let depth = 0;
  for (let end = at; end < Math.min(text.length, at + LABEL); end += 1) {
    const char = text[end];
    if (char === '\\') end += 1;
    else if (char === '`') end = Math.max(end, code(text, end).end - 1);
    else if (char === open) depth += 1;
    else if (char === close && (depth -= 1) === 0) return end;
    else if (char === '\n' && text[end + 1] === '\n') return -1;
  }
  return -1;
}

function target(text, at) {
  const label = closing(text, at, '[', ']');
  if (label < 0 || text[label + 1] !== '(') return null;
  const end = closing(text, label + 1, '(', ')');
  if (end < 0) return null;
  const inner = text.slice(label + 2, end).trim();
  const found = /^(?:<([^<>\n]*)>|(\S*))(?:\s+(?:"[^]*"|'[^]*'|\([^]*\)))?$/.exec(inner);
  if (!found) return null;
  const address = (found[1] ?? found[2]).replace(/\\([!-/:-@[-`{-~])/g, '$1');
  return { label: text.slice(at + 1, label), address, end: end + 1 };
}

function link(text, at) {
  const found = target(text, at);
  if (!found) return null;
  const href = safeHref(found.address);
  const children = parseInline(found.label);
  // What leads nowhere is shown with the place it names, as text.
  if (!href) children.push({ type: 'text', text: ` (${found.address})` });
  return { node: href ? { type: 'link', href, children } : { type: 'group', children }, end: found.end };
}

function image(text, at) {
  const found = target(text, at + 1);
  if (!found) return null;
  const href = safeHref(found.address);
  const children = [{ type: 'text', text: `image: ${found.label || found.address}` }];
  return { node: href ? { type: 'link', href, children } : { type: 'group', children }, end: found.end };
}

function angle(text, at) {
  const rest = text.slice(at, at + 2048);
  const address = /^<((?:https?:\/\/|mailto:)[^\s<>]+)>/i.exec(rest);
  if (address) {
    const href = safeHref(address[1]);
    if (!href) return null;
    const children = [{ type: 'text', text: address[1] }];
    return { node: { type: 'link', href, children }, end: at + address[0].length };
  }
  const newline = /^<br ?\/?>/i.exec(rest);
  return newline && { node: { type: 'break' }, end: at + newline[0].length };
}

function entity(text, at) {
  const found = /^&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|([a-zA-Z]{2,8}));/.exec(text.slice(at, at + 12));
  if (!found) return null;
  const number = found[1] ? parseInt(found[1], 10) : found[2] ? parseInt(found[2], 16) : 0;
  const named = found[3] && ENTITIES[found[3]];
  const char = named ?? (number > 31 && number <= 0x10ffff && (number < 0xd800 || number > 0xdfff) ? String.fromCodePoint(number) : null);
  return char ? { node: char, end: at + found[0].length } : null;
}

function bare(text, at) {
  if (at && /[\p{L}\p{N}/]/u.test(text[at - 1])) return null;
  ADDRESS.lastIndex = at;
  let found = ADDRESS.exec(text)?.[0];
  if (!found) return null;
  // A closing bracket belongs to the sentence, unless the address opened it.
  while (/[)\]]$/.test(found)) {
    const [open, close] = found.endsWith(')') ? ['(', ')'] : ['[', ']'];
    if (found.split(open).length >= found.split(close).length) break;
    found = found.slice(0, -1);
  }
  const href = safeHref(found);
  if (!href) return null;
  return { node: { type: 'link', href, children: [{ type: 'text', text: found }] }, end: at + found.length };
}

/// Pairs runs of `*`, `_` and `~~`, inner ones first, as CommonMark does.
function emphasise(nodes) {
  const openers = [];
  const out = [];
  for (const node of nodes) {
    if (node.type !== 'run') {
      out.push(node);
      continue;
    }
    let left = node.count;
    while (node.close && left) {
      const at = openers.findLastIndex(one => matches(one, node, left));
      if (at < 0) break;
      const opener = openers[at];
      const used = node.char === '~' ? 2 : Math.min(2, left, opener.left);
      const children = out.splice(opener.place + 1).map(asText);
      opener.left -= used;
      left -= used;
      openers.length = opener.left ? at + 1 : at;
      if (!opener.left) out.pop();
      const type = node.char === '~' ? 'strike' : used === 2 ? 'strong' : 'em';
      out.push({ type, children });
    }
    if (!left) continue;
    const mark = { type: 'run', char: node.char, left, count: node.count, close: node.close, place: out.length };
    out.push(mark);
    if (node.open && openers.length < NESTED) openers.push(mark);
  }
  return joined(out.map(asText));
}

function matches(opener, closer, left) {
  if (opener.char !== closer.char || !opener.left) return false;
  if (closer.char === '~') return true;
  const both = (opener.close || closer.open) && (opener.count + closer.count) % 3 === 0;
  return left > 0 && !(both && !(opener.count % 3 === 0 && closer.count % 3 === 0));
}

const asText = node => (node.type === 'run' ? { type: 'text', text: node.char.repeat(node.left) } : node);

function joined(nodes) {
  const out = [];
  for (const node of nodes) {
    if (node.type === 'text' && out.at(-1)?.type === 'text') out[out.length - 1] = { type: 'text', text: out.at(-1).text + node.text };
    else out.push(node);
  }
  return out;
}
