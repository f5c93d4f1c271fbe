// Markdown on the page. A growing text costs its last block once a frame, and within that only the
// items, rows and lines that changed.

import { copyButton, el, setText, toggle } from './dom.js';
import { highlight } from './highlight.js';
import { parse } from './markdown.js';
import { scroller } from './scroller.js';

export class MarkdownView {
	#text = '';
	#from = 0;
	#last = null;

	constructor() {
		this.node = el('div.md');
	}

	get count() {
		return this.node.childElementCount;
	}

	update(text, growing = false) {
		if (text.includes('\r')) text = text.replace(/\r\n?/g, '\n');
		if (text === this.#text && growing === this.growing) return;
		if (!text.startsWith(this.#text.slice(0, this.#from))) this.#clear();
		this.#text = text;
		this.growing = growing;
		let blocks = parse(text, this.#from);
		if (growing && blocks.length && blocks.at(-1).type !== 'code') {
			blocks = parse(completed(text, blocks.at(-1).start), this.#from);
		}
		blocks.forEach((block, at) => {
			if (at === 0 && this.#last) {
				const node = patch(this.node.lastElementChild, this.#last, block);
				if (node !== this.node.lastElementChild) this.node.lastElementChild.replaceWith(node);
			} else {
				this.node.append(build(block));
			}
		});
		if (!blocks.length) return;
		this.#last = blocks.at(-1);
		this.#from = this.#last.start;
		toggle(this.node, 'growing', growing);
	}

	#clear() {
		this.node.replaceChildren();
		this.#from = 0;
		this.#last = null;
	}
}

// The text with the marks closed that are still open in its last block, so that bold begins bold
// and a link's address is not read before it is one.
function completed(text, start) {
	let tail = text.slice(start).replace(/(?<!!)\[([^\]\n]*)\]\([^)\s]*$/, '$1').replace(/!?\[[^\]\n]*$/, '');
	const code = tail.replace(/`[^`\n]*`/g, '');
	if ((code.match(/`/g) ?? []).length % 2) return `${text.slice(0, start)}${tail}\``;
	tail = tail.replace(/(?<=\s|^)[*_~]+$/, '');
	if ((code.match(/\*\*/g) ?? []).length % 2 && !/\*\*\s*$/.test(tail)) tail += '**';
	return text.slice(0, start) + tail;
}

function build(block) {
	switch (block.type) {
		case 'heading': return el(`h${Math.min(block.level + 1, 6)}.h${block.level}`, null, inline(block.inline));
		case 'rule': return el('hr');
		case 'quote': return el('blockquote', null, block.children.map(build));
		case 'list': return list(block);
		case 'table': return table(block);
		case 'code': return new CodeView(block).node;
		default: return el('p', null, inline(block.inline));
	}
}

// The node that shows `block` where `node` shows `before`: the same one, where it can be.
function patch(node, before, block) {
	if (before.type !== block.type) return build(block);
	if (block.type === 'code') return codes.get(node).update(block);
	if (block.type === 'list' && before.ordered === block.ordered && before.loose === block.loose) {
		return patchChildren(node, before.items, block.items, item => itemOf(item, block.loose));
	}
	if (block.type === 'table' && before.head.length === block.head.length) {
		patchChildren(node.querySelector('tbody'), before.rows, block.rows, row => rowOf(row, block.align));
		return node;
	}
	return build(block);
}

function patchChildren(node, before, items, make) {
	items.forEach((item, at) => {
		if (before[at]?.raw === item.raw && before[at]?.task === item.task) return;
		if (node.children[at]) node.children[at].replaceWith(make(item));
		else node.append(make(item));
	});
	while (node.children.length > items.length) node.lastElementChild.remove();
	return node;
}

function list(block) {
	const tasks = block.items.some(item => item.task !== null);
	const start = block.ordered && block.first !== 1 ? String(block.first) : null;
	const name = (block.ordered ? 'ol' : 'ul') + (tasks ? '.tasks' : '');
	return el(name, { start }, block.items.map(item => itemOf(item, block.loose)));
}

function itemOf(item, loose) {
	const children = item.children.flatMap(child =>
		!loose && child.type === 'paragraph' ? inline(child.inline) : [build(child)]);
	if (item.task === null) return el('li', null, children);
	const words = item.task ? 'done: ' : 'to do: ';
	const box = el(`span.box${item.task ? '.checked' : ''}`, null, el('span.offscreen', null, words));
	return el('li.task', null, box, el('div', null, children));
}

const aligned = align => (align ? `.${align}` : '');

function table(block) {
	const head = block.head.map((cell, at) => el(`th${aligned(block.align[at])}`, { scope: 'col' }, inline(cell)));
	const node = el('table', null, el('thead', null, el('tr', null, head)),
		el('tbody', null, block.rows.map(row => rowOf(row, block.align))));
	return scroller('div.table', 'Table', node);
}

function rowOf(row, align) {
	return el('tr', null, row.cells.map((cell, at) => el(`td${aligned(align[at])}`, null, inline(cell))));
}

export function inline(nodes) {
	return nodes.flatMap(node => {
		switch (node.type) {
			case 'text': return [document.createTextNode(node.text)];
			case 'code': return [el('code', null, node.text)];
			case 'break': return [el('br')];
			case 'strong': return [el('strong', null, inline(node.children))];
			case 'em': return [el('em', null, inline(node.children))];
			case 'strike': return [el('del', null, inline(node.children))];
			case 'link': return [el('a', { href: node.href, rel: 'noopener noreferrer', target: '_blank' }, inline(node.children))];
			default: return inline(node.children);
		}
	});
}

const codes = new WeakMap();

// Code with its language, or another label, and a button that copies it.
export class CodeView {
	#lines = [];

	constructor(block, label) {
		this.code = el('code');
		this.label = el('span.lang', null, label);
		this.own = label;
		const head = el('div.code-head', null, this.label, copyButton('Copy', () => this.text));
		this.node = el('div.code', null, head, scroller('pre', label ?? 'Code', this.code));
		codes.set(this.node, this);
		this.update(block);
	}

	update(block) {
		this.text = block.text;
		if (!this.own) setText(this.label, block.lang || 'text');
		this.#lines = colour(this.code, block.text, block.lang, this.#lines);
		return this.node;
	}
}

function colour(node, text, lang, before = []) {
	const lines = highlight(text, lang);
	const shown = lines.map(tokens => tokens.flat().join('\u0000'));
	lines.forEach((tokens, at) => {
		if (before[at] === shown[at] && node.children[at]) return;
		const line = el('span.line', null, pieces(tokens), '\n');
		if (node.children[at]) node.children[at].replaceWith(line);
		else node.append(line);
	});
	while (node.children.length > lines.length) node.lastElementChild.remove();
	return shown;
}

export function pieces(tokens) {
	return tokens.map(([kind, text]) => (kind ? el(`span.${kind}`, null, text) : text));
}
