// Markdown into blocks with their place in the source, so that a growing answer is parsed again
// from its last block alone. CommonMark's everyday part, with GitHub's tables, tasks and
// strikethrough; `---` is a rule always, HTML is text. Knows nothing of the page.

import { parseInline } from './inline.js';

const FENCE = /^( {0,3})(`{3,}|~{3,})[ \t]*([^`\n]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}>[ ]?(.*)$/;
const ITEM = /^( *)([-+*]|\d{1,9}[.)])(?:([ \t]+)(.*))?$/;
const DELIMITER = /^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const LINE = 4000;
// Deeper nesting is shown as text: nobody writes it, and a stack has an end.
const DEPTH = 12;

// The blocks of a text, each with the offsets between which it stands.
export function parse(text, from = 0) {
	const lines = text.slice(from).replace(/\r\n?/g, '\n').split('\n');
	return blocks(lines, from, 0);
}

function blocks(lines, offset, depth) {
	const out = [];
	let at = 0;
	let start = offset;
	while (at < lines.length) {
		const line = lines[at];
		if (!line.trim()) {
			start += line.length + 1;
			at += 1;
			continue;
		}
		const { block, end } = one(lines, at, depth);
		block.start = start;
		for (; at < end; at += 1) start += lines[at].length + 1;
		block.end = start;
		out.push(block);
	}
	return out;
}

function one(lines, at, depth) {
	const line = lines[at];
	if (line.length > LINE) return paragraph(lines, at);
	return fenced(lines, at)
		?? heading(line, at)
		?? (RULE.test(line) ? { block: { type: 'rule' }, end: at + 1 } : null)
		?? (depth < DEPTH ? quote(lines, at, depth) ?? list(lines, at, depth) : null)
		?? table(lines, at)
		?? paragraph(lines, at);
}

function fenced(lines, at) {
	const open = FENCE.exec(lines[at]);
	if (!open) return null;
	const [, indent, fence, info] = open;
	const close = new RegExp(`^ {0,3}${fence[0]}{${fence.length},}[ \\t]*$`);
	const strip = new RegExp(`^ {0,${indent.length}}`);
	const code = [];
	let end = at + 1;
	while (end < lines.length && !close.test(lines[end])) {
		code.push(indent ? lines[end].replace(strip, '') : lines[end]);
		end += 1;
	}
	const closed = end < lines.length;
	const lang = info.trim().split(/[\s{,]/)[0].toLowerCase();
	return { block: { type: 'code', lang, text: code.join('\n'), closed }, end: closed ? end + 1 : end };
}

function heading(line, at) {
	const found = HEADING.exec(line);
	if (!found) return null;
	const block = { type: 'heading', level: found[1].length, inline: parseInline(found[2] ?? '') };
	return { block, end: at + 1 };
}

function quote(lines, at, depth) {
	if (!QUOTE.test(lines[at])) return null;
	const inner = [];
	let end = at;
	for (; end < lines.length; end += 1) {
		const marked = QUOTE.exec(lines[end]);
		if (marked) inner.push(marked[1]);
		else if (lines[end].trim() && inner.at(-1)?.trim() && !begins(lines[end])) inner.push(lines[end]);
		else break;
	}
	return { block: { type: 'quote', children: blocks(inner, 0, depth + 1) }, end };
}

// Whether a line begins a block even where a paragraph could go on.
function begins(line) {
	if (line.length > LINE) return false;
	if (FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line)) return true;
	const item = ITEM.exec(line);
	// A sentence may begin with a year: only a list that starts at one interrupts it.
	return Boolean(item && item[4]?.trim() && (!/^\d/.test(item[2]) || /^1[.)]/.test(item[2])));
}

const kindOf = marker => (/\d/.test(marker) ? marker.at(-1) : marker);

function list(lines, at, depth) {
	const first = ITEM.exec(lines[at]);
	if (!first || first[1].length > 3 || RULE.test(lines[at])) return null;
	const base = first[1].length;
	const kind = kindOf(first[2]);
	const items = [];
	let loose = false;
	let end = at;
	while (end < lines.length) {
		const found = ITEM.exec(lines[end]);
		const own = found && found[1].length < base + 2 && kindOf(found[2]) === kind && !RULE.test(lines[end]);
		if (!own) break;
		const item = itemAt(lines, end, found, base);
		loose ||= item.loose;
		items.push(itemOf(item.lines, depth));
		end = item.end;
		// Blank lines between two items spread the list; those behind the last one do not.
		let next = end;
		while (next < lines.length && !lines[next].trim()) next += 1;
		const follows = next < lines.length && ITEM.exec(lines[next]);
		const goesOn = follows && follows[1].length < base + 2 && kindOf(follows[2]) === kind;
		if (!goesOn || RULE.test(lines[next])) break;
		loose ||= next > end;
		end = next;
	}
	const ordered = /\d/.test(first[2]);
	const block = { type: 'list', ordered, first: ordered ? parseInt(first[2], 10) : 1, loose, items };
	return { block, end };
}

// The lines of one item without their indent. Models indent nested lists by two where CommonMark
// wants three, so two are enough.
function itemAt(lines, at, [, indent, marker, gap = '', rest = ''], base) {
	const width = indent.length + marker.length + (gap.length > 4 ? 1 : gap.length || 1);
	const inner = [gap.length > 4 ? gap.slice(1) + rest : rest];
	let end = at + 1;
	let blank = false;
	let loose = false;
	let fence = FENCE.exec(inner[0])?.[2];
	for (; end < lines.length; end += 1) {
		const line = lines[end];
		if (!line.trim()) {
			blank = true;
			inner.push('');
			continue;
		}
		const own = line.length - line.trimStart().length;
		if (own >= base + 2 || (fence && own >= base + 1)) {
			const stripped = line.slice(Math.min(own, width));
			if (blank && !fence && own <= width) loose = true;
			inner.push(stripped);
			const mark = FENCE.exec(stripped)?.[2];
			if (mark) fence = fence ? (mark[0] === fence[0] ? undefined : fence) : mark;
		} else if (!blank && !begins(line) && !ITEM.test(line)) {
			inner.push(line.trimStart());
		} else {
			break;
		}
		blank = false;
	}
	while (inner.length > 1 && !inner.at(-1).trim()) {
		inner.pop();
		end -= 1;
	}
	return { lines: inner, end, loose };
}

function itemOf(lines, depth) {
	const raw = lines.join('\n');
	const task = /^\[([ xX])\](?:[ \t]+|$)/.exec(lines[0]);
	const body = task ? [lines[0].slice(task[0].length), ...lines.slice(1)] : lines;
	return { raw, task: task ? task[1] !== ' ' : null, children: blocks(body, 0, depth + 1) };
}

export function cells(line) {
	const out = [];
	let cell = '';
	let ticks = 0;
	const row = line.trim().replace(/^\|/, '');
	for (let at = 0; at < row.length; at += 1) {
		const char = row[at];
		if (char === '\\' && row[at + 1] === '|') {
			cell += '|';
			at += 1;
		} else if (char === '`') {
			const run = /^`+/.exec(row.slice(at))[0];
			if (!ticks) ticks = row.indexOf(run, at + run.length) > 0 ? run.length : 0;
			else if (ticks === run.length) ticks = 0;
			cell += run;
			at += run.length - 1;
		} else if (char === '|' && !ticks) {
			out.push(cell.trim());
			cell = '';
		} else {
			cell += char;
		}
	}
	if (cell.trim() || !row.endsWith('|')) out.push(cell.trim());
	return out;
}

function table(lines, at) {
	const next = lines[at + 1];
	if (!next || next.length > LINE || !lines[at].includes('|') || !DELIMITER.test(next) || !/[|:]/.test(next)) return null;
	const head = cells(lines[at]);
	const marks = cells(next);
	if (head.length !== marks.length) return null;
	const align = marks.map(mark => {
		const [left, right] = [mark.startsWith(':'), mark.endsWith(':')];
		return right ? (left ? 'center' : 'right') : left ? 'left' : null;
	});
	const rows = [];
	let end = at + 2;
	for (; end < lines.length && lines[end].trim() && !begins(lines[end]); end += 1) {
		const row = cells(lines[end]);
		rows.push({ raw: lines[end], cells: head.map((_, column) => parseInline(row[column] ?? '')) });
	}
	return { block: { type: 'table', align, head: head.map(cell => parseInline(cell)), rows }, end };
}

function paragraph(lines, at) {
	const text = [lines[at].trimStart()];
	let end = at + 1;
	for (; end < lines.length; end += 1) {
		const line = lines[end];
		if (!line.trim() || begins(line) || table(lines, end)) break;
		text.push(line.trimStart());
	}
	return { block: { type: 'paragraph', inline: parseInline(text.join('\n').trimEnd()) }, end };
}
