// A tool call as a card: one line that says what and how it went; behind it arguments, live output,
// result, diff; below it the question that it waits for.

import { el, icon, setText, sign } from '../dom.js';
import { counted, created, parseDiff } from '../diff.js';
import { languageOfPath } from '../highlight.js';
import { CodeView } from '../render.js';
import { duration, plural } from '../words.js';
import { diffView } from './diff.js';
import { permissionView } from './permission.js';

const NAMES = {
	read_file: 'read', write_file: 'write', edit_file: 'edit', list_dir: 'list', grep: 'search', glob: 'find', bash: 'bash',
};
const MARKS = { running: '●', completed: '✓', error: '✗', denied: '⊘', asks: '?' };
const WORDS = { running: 'running', completed: 'done', error: 'failed', denied: 'refused', asks: 'asks you' };
const SMALL_DIFF = 60;

export const toolName = tool => NAMES[tool] ?? tool;

export function summary({ tool, args }) {
	if (!args || typeof args !== 'object') return '';
	const text = value => (typeof value === 'string' ? value : '');
	switch (tool) {
		case 'bash': return text(args.command);
		case 'grep': return [`“${text(args.pattern)}”`, args.path && `in ${text(args.path)}`, args.include && text(args.include)].filter(Boolean).join(' ');
		case 'glob': return [text(args.pattern), args.path && `in ${text(args.path)}`].filter(Boolean).join(' ');
		case 'list_dir': return text(args.path) || '.';
		default: return text(args.path) || Object.values(args).find(value => typeof value === 'string') || '';
	}
}

function measure({ tool, args, result, status }, rows) {
	if (result === undefined || result === null || status === 'denied') return [];
	const lines = result.split('\n').filter(line => line && !/^\[.*\]$/.test(line)).length;
	const exit = /\[exit status (\d+)\]\s*$/.exec(result);
	if (exit) return [`exit ${exit[1]}`];
	if (status === 'error') return [];
	if (rows) {
		const { added, removed } = counted(rows);
		return [isNew({ tool, result }) ? 'new' : null, added ? el('span.plus', { 'aria-label': `${added} added` }, `+${added}`) : null, removed ? el('span.minus', { 'aria-label': `${removed} removed` }, `−${removed}`) : null];
	}
	switch (tool) {
		case 'read_file': return [plural(lines, 'line')];
		case 'list_dir': return [plural(lines, 'entry', 'entries')];
		case 'grep': return [lines ? plural(lines, 'match', 'matches') : 'nothing'];
		case 'glob': return [lines ? plural(lines, 'file') : 'nothing'];
		case 'write_file': return [args?.content !== undefined ? plural(args.content.split('\n').length, 'line') : ''];
		default: return [];
	}
}

function rowsOf({ tool, args, result, status }) {
	if (status !== 'completed' || !result) return null;
	if (tool !== 'edit_file' && tool !== 'write_file') return null;
	return parseDiff(result) ?? (isNew({ tool, result }) && typeof args.content === 'string' ? created(args.content) : null);
}

const isNew = ({ tool, result }) => tool === 'write_file' && /^`.*` created: /.test(result);

const lastLine = text => text.replace(/\n?\[exit status \d+\]\s*$/, '').trimEnd().split('\n').at(-1).replace(/\[[\d;]*m/g, '');

export class ToolView {
	#shown = '';
	#permission = null;

	constructor(part, actions) {
		this.actions = actions;
		this.mark = sign();
		this.word = el('span.offscreen');
		this.title = el('span.tool-name', null, toolName(part.tool));
		this.about = el('span.about', null, summary(part).replaceAll('\n', ' ↵ '));
		this.figures = el('span.measure');
		this.time = el('span.time');
		this.row = el('button.tool-row', { 'aria-expanded': 'false', onclick: () => this.#toggle() },
			this.mark, this.title, this.about, this.figures, this.time, this.word, icon('chevron'));
		this.peek = el('div.peek', { hidden: true });
		this.detail = el('div.tool-detail', { hidden: true });
		this.node = el('div.tool', { role: 'group', 'aria-label': `Tool ${toolName(part.tool)}` }, this.row, this.peek, this.detail);
	}

	update(part) {
		this.part = part;
		const state = part.question ? 'asks' : part.status;
		const shown = `${state} ${part.result?.length} ${part.printed} ${part.durationMs}`;
		if (shown === this.#shown) return;
		const ended = part.status !== 'running' && !this.ended;
		this.#shown = shown;
		this.node.dataset.state = state;
		setText(this.mark, MARKS[state]);
		setText(this.word, `, ${WORDS[state]}`);
		if (part.status === 'running' && part.startedAt && !part.question) this.time.dataset.since = String(part.startedAt);
		else delete this.time.dataset.since;
		setText(this.time, part.durationMs >= 1000 ? duration(part.durationMs) : '');
		if (ended) {
			this.ended = true;
			this.rows = rowsOf(part);
			const open = this.rows && !isNew(part) && this.rows.length <= SMALL_DIFF;
			if (open && !this.touched) this.#open(true);
		}
		this.figures.replaceChildren(...measure(part, this.rows).filter(Boolean));
		this.#showPeek();
		this.#ask(part.question);
		if (this.isOpen) this.#fill();
	}

	// The line under the row: a command's last words, why it failed, who refused.
	#showPeek() {
		const { part } = this;
		let text = '';
		if (part.status === 'denied') text = `${/stopped/.test(part.result) ? 'Not run' : 'Refused'}: ${part.result}`;
		else if (part.status === 'error') text = part.tool === 'bash' ? lastLine(bashOutput(part)) : part.result;
		else if (part.tool === 'bash') text = lastLine(part.status === 'running' ? part.output ?? '' : bashOutput(part));
		setText(this.peek, text.slice(0, 600));
		this.peek.hidden = !text || this.isOpen;
	}

	#ask(question) {
		if (question?.id === this.#permission?.id) return;
		this.#permission?.node.remove();
		this.#permission = question ? permissionView(question, this.actions) : null;
		if (question) this.node.append(this.#permission.node);
	}

	#toggle() {
		this.touched = true;
		this.#open(!this.isOpen);
	}

	#open(open) {
		this.isOpen = open;
		this.row.setAttribute('aria-expanded', String(open));
		this.detail.hidden = !open;
		if (open) this.#fill();
		this.#showPeek();
	}

	#fill() {
		const { part } = this;
		const key = `${part.status} ${part.result?.length}`;
		if (part.status === 'running' && part.tool === 'bash' && this.live) {
			setText(this.live, part.output || 'No output yet.');
			this.live.parentNode.scrollTop = this.live.scrollHeight;
			return;
		}
		if (key === this.filled) return;
		this.filled = key;
		this.live = null;
		this.detail.replaceChildren(...this.#details(part));
	}

	#details(part) {
		if (this.rows) return [diffView(this.rows, part.args.path)];
		const out = [];
		if (part.tool === 'bash') {
			out.push(block('Command', part.args?.command ?? '', 'bash'));
			const running = part.status === 'running';
			const output = block('Output', running ? part.output || 'No output yet.' : bashOutput(part) || 'No output.');
			if (running) this.live = output.querySelector('code');
			out.push(output);
			return out;
		}
		if (part.tool === 'write_file' && typeof part.args?.content === 'string') {
			out.push(block(part.args.path ?? '', part.args.content, languageOfPath(part.args.path ?? '')));
		} else if (part.args && Object.keys(part.args).length && !isPlain(part)) {
			out.push(block('Arguments', JSON.stringify(part.args, null, 2), 'json'));
		}
		if (part.result) out.push(block('Result', part.result, part.tool === 'read_file' ? languageOfPath(part.args?.path ?? '') : null));
		return out;
	}
}

const isPlain = ({ tool, args }) => ['read_file', 'list_dir'].includes(tool) && Object.keys(args).every(key => key === 'path');

const bashOutput = part => (part.result === '[no output]' ? '' : part.result ?? part.output ?? '');

const block = (label, text, lang) => new CodeView({ text: text.replace(/\n$/, ''), lang }, label).node;

export function tick(container, now) {
	for (const node of container.querySelectorAll('[data-since]')) {
		const ms = now - Number(node.dataset.since);
		setText(node, ms >= 1000 ? duration(Math.floor(ms / 1000) * 1000).replace('.0', '') : '');
	}
	for (const node of container.querySelectorAll('[data-until]')) {
		setText(node, `${Math.max(0, Math.ceil((Number(node.dataset.until) - now) / 1000))} s`);
	}
}
