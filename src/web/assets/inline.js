// Markdown within a line: code, emphasis, links, strikethrough, hard breaks. A link goes to http,
// https or mailto and nowhere else; an image is shown as a link to it, for it is never loaded.

// Bounds, so that no text takes more than a blink: longer ones are no prose.
const MOST = 20_000;
const LABEL = 1000;
const NESTED = 50;
const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0' };
const PUNCTUATION = /[!-/:-@[-`{-~\p{P}\p{S}]/u;
const ADDRESS = /https?:\/\/[^\s<>"'`]*[^\s<>"'`.,;:!?*_~]/y;

export function safeHref(address) {
	try {
		const url = new URL(address);
		return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : null;
	} catch {
		return null;
	}
}

const plain = text => ({ type: 'text', text });

// What leads nowhere is shown with the place it names, as text.
function link(label, address) {
	const href = safeHref(address);
	return href ? { type: 'link', href, children: label } : { type: 'group', children: [...label, plain(` (${address})`)] };
}

// The pieces of a text: `text`, `code`, `strong`, `em`, `strike`, `link`, `group`, `break`.
export function parseInline(text) {
	if (text.length > MOST) return [plain(text)];
	const nodes = [];
	let from = 0;
	let at = 0;
	while (at < text.length) {
		const found = special(text, at);
		if (!found) {
			at += 1;
			continue;
		}
		if (at > from) nodes.push(plain(text.slice(from, at)));
		const [node, length] = found;
		nodes.push(typeof node === 'string' ? plain(node) : node);
		from = at += length;
	}
	if (at > from) nodes.push(plain(text.slice(from)));
	return emphasise(nodes);
}

function special(text, at) {
	const char = text[at];
	const rest = () => text.slice(at, at + LABEL);
	switch (char) {
		case '\\':
			if (text[at + 1] === '\n') return [{ type: 'break' }, 2];
			return /[!-/:-@[-`{-~]/.test(text[at + 1] ?? '') ? [text[at + 1], 2] : null;
		case '`': return code(text, at);
		case '*': case '_': case '~': return run(text, at, char);
		case '[': {
			const found = target(text, at);
			return found && [link(parseInline(found.label), found.address), found.length];
		}
		case '!': {
			const found = text[at + 1] === '[' && target(text, at + 1);
			return found && [link([plain(`image: ${found.label || found.address}`)], found.address), found.length + 1];
		}
		case '<': {
			const found = /^<(?:br ?\/?|((?:https?:\/\/|mailto:)[^\s<>]+))>/i.exec(rest());
			return found && [found[1] ? link([plain(found[1])], found[1]) : { type: 'break' }, found[0].length];
		}
		case '&': {
			const found = /^&([a-z]{2,4});/.exec(rest());
			return found && ENTITIES[found[1]] ? [ENTITIES[found[1]], found[0].length] : null;
		}
		case ' ': {
			const found = /^ {2,}\n/.exec(rest());
			return found && [{ type: 'break' }, found[0].length];
		}
		case 'h': return bare(text, at);
		default: return null;
	}
}

function code(text, at) {
	const ticks = /`+/y;
	ticks.lastIndex = at;
	const [open] = ticks.exec(text);
	for (let end = at + open.length; (end = text.indexOf(open, end)) >= 0;) {
		ticks.lastIndex = end;
		const [close] = ticks.exec(text);
		if (close.length === open.length) {
			const inner = text.slice(at + open.length, end).replaceAll('\n', ' ');
			return [{ type: 'code', text: /^ .*\S.* $/.test(inner) ? inner.slice(1, -1) : inner }, end + open.length - at];
		}
		end += close.length;
	}
	return [open, open.length];
}

// A run of `*`, `_` or `~~`, and whether emphasis may begin or end with it (CommonMark, 6.2).
function run(text, at, char) {
	let end = at;
	while (text[end] === char) end += 1;
	const left = end - at;
	if (char === '~' && left !== 2) return [text.slice(at, end), left];
	const [before, after] = [text[at - 1] ?? ' ', text[end] ?? ' '];
	const opens = /\S/.test(after) && (!PUNCTUATION.test(after) || /\s/.test(before) || PUNCTUATION.test(before));
	const closes = /\S/.test(before) && (!PUNCTUATION.test(before) || /\s/.test(after) || PUNCTUATION.test(after));
	const within = char === '_' && opens && closes;
	return [{ type: 'run', char, left, open: opens && (!within || PUNCTUATION.test(before)), close: closes && (!within || PUNCTUATION.test(after)) }, left];
}

// The end of a bracket that opens at `at`, nested ones passed over.
function closing(text, at, open, close) {
	let depth = 0;
	for (let end = at; end < Math.min(text.length, at + LABEL); end += 1) {
		const char = text[end];
		if (char === '\\') end += 1;
		else if (char === '`') end += code(text, end)[1] - 1;
		else if (char === open) depth += 1;
		else if (char === close && (depth -= 1) === 0) return end;
	}
	return -1;
}

function target(text, at) {
	const label = closing(text, at, '[', ']');
	if (label < 0 || text[label + 1] !== '(') return null;
	const end = closing(text, label + 1, '(', ')');
	if (end < 0) return null;
	const found = /^(?:<([^<>\n]*)>|(\S*))(?:\s+(?:"[^]*"|'[^]*'|\([^]*\)))?$/.exec(text.slice(label + 2, end).trim());
	return found && { label: text.slice(at + 1, label), address: found[1] ?? found[2], length: end + 1 - at };
}

function bare(text, at) {
	if (at && /[\p{L}\p{N}/]/u.test(text[at - 1])) return null;
	ADDRESS.lastIndex = at;
	let found = ADDRESS.exec(text)?.[0];
	while (found?.endsWith(')') && found.split('(').length < found.split(')').length) found = found.slice(0, -1);
	return found && safeHref(found) ? [link([plain(found)], found), found.length] : null;
}

function emphasise(nodes) {
	let openers = [];
	const out = [];
	for (const node of nodes) {
		while (node.close && node.left) {
			const opener = openers.findLast(one => one.char === node.char);
			if (!opener) break;
			const used = node.char === '~' ? 2 : Math.min(2, node.left, opener.left);
			const children = out.splice(out.indexOf(opener) + 1).map(asText);
			openers = openers.slice(0, openers.indexOf(opener) + 1);
			opener.left -= used;
			node.left -= used;
			if (!opener.left) {
				openers.pop();
				out.pop();
			}
			out.push({ type: node.char === '~' ? 'strike' : used === 2 ? 'strong' : 'em', children });
		}
		if (node.left === 0) continue;
		out.push(node);
		if (node.open && openers.length < NESTED) openers.push(node);
	}
	return out.map(asText);
}

const asText = node => (node.type === 'run' ? plain(node.char.repeat(node.left)) : node);
