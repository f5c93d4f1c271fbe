// One message: the person's words, or all that the model did in a turn.

import { copyButton, el, icon, setText, sign, toggle } from '../dom.js';
import { MarkdownView } from '../render.js';
import { textOf } from '../store.js';
import { count, dollars, duration, plural, tokensIn } from '../words.js';
import { ToolView } from './tool.js';

const LONG = 1600;
// What an answer can be cut at.
const LIMITS = {
	output: 'at the model’s output limit',
	answer: 'at 4 MiB, the most that one may have',
	steps: 'after all steps of the turn (server.limits.steps)',
};

export function userView(message) {
	const text = textOf(message);
	const words = el('div.words', null, text);
	const node = el(`article.you${message.pending ? '.pending' : ''}`, { 'aria-label': 'You' }, words);
	if (text.length > LONG || text.split('\n').length > 24) {
		words.classList.add('folded');
		const more = el('button.quiet', { onclick: () => {
			words.classList.remove('folded');
			more.remove();
		} }, 'Show all');
		node.append(more);
	}
	return { node, message, update() {}, get count() { return 1; } };
}

export class TurnView {
	#parts = [];

	constructor(message, actions) {
		this.message = message;
		this.actions = actions;
		this.body = el('div.parts');
		this.foot = el('footer');
		this.node = el('article.turn', { 'aria-label': 'Answer' }, this.body, this.foot);
		this.update(message);
	}

	get count() {
		return this.#parts.reduce((sum, part) => sum + (part.count ?? 1), 0);
	}

	update(message) {
		this.message = message;
		const kinds = message.parts.map(part => part.type).join();
		if (!kinds.startsWith(this.#parts.map(part => part.type).join())) {
			this.#parts = [];
			this.body.replaceChildren();
		}
		message.parts.forEach((part, at) => {
			const isLast = at === message.parts.length - 1;
			if (!this.#parts[at]) this.#add(part);
			this.#parts[at].update(part, Boolean(message.running && isLast));
		});
		toggle(this.node, 'running', Boolean(message.running));
		const last = message.parts.at(-1);
		const waits = !message.retry && (!last || (last.type === 'tool' && last.status !== 'running'));
		toggle(this.node, 'thinking', Boolean(message.running && !message.frozen && waits));
		toggle(this.node, 'frozen', Boolean(message.frozen));
		const ended = message.running ? '' : `${message.finishReason} ${message.error} ${message.unstored}`;
		if (ended !== this.ended || message.retry !== this.retry) {
			this.ended = ended;
			this.retry = message.retry;
			this.foot.replaceChildren(...this.#footer(message));
		}
	}

	#add(part) {
		const view = part.type === 'text' ? textView() : part.type === 'reasoning' ? reasoningView() : new ToolView(part, this.actions);
		view.type = part.type;
		this.#parts.push(view);
		this.body.append(view.node);
	}

	#footer(message) {
		const out = [];
		if (message.retry && message.running) out.push(retryLine(message.retry));
		if (message.running) return out;
		if (message.unstored) out.push(unstoredLine(message.unstored));
		if (message.error) out.push(this.#errorBar(message));
		if (message.finishReason === 'aborted') out.push(el('p.note', null, sign('⊘'), ' Stopped. What was written is kept.'));
		if (message.finishReason === 'length') {
			out.push(el('p.note.warn', null, `The answer was cut ${LIMITS[message.limit] ?? LIMITS.output}. `,
				el('button.quiet', { onclick: () => this.actions.send('Go on.') }, 'Go on')));
		}
		out.push(this.#figures(message));
		return out;
	}

	#errorBar(message) {
		const restarted = /server ended in the middle/.test(message.error);
		const head = restarted ? 'Server restarted: turn ended there' : 'The turn failed';
		const words = restarted ? 'What it had said is kept. Ask again to go on.' : message.error;
		return el('div.error', null,
			el('div.error-words', null, el('strong', null, sign('✗ '), head), el('div', null, words)),
			el('button.small', { onclick: () => this.actions.retry(message) }, 'Retry'));
	}

	#figures({ durationMs, waitedMs, usage, model, ...message }) {
		const read = tokensIn(usage);
		const figures = [];
		if (durationMs !== undefined && durationMs !== null) {
			const waited = waitedMs >= 1000 ? ` (waited ${duration(waitedMs)} for you)` : '';
			figures.push(duration(Math.max(durationMs, 100)) + waited);
		}
		if (read || usage?.outputTokens) figures.push(`${count(read)} in, ${count(usage.outputTokens)} out`);
		if (usage?.cost) figures.push(dollars(usage.cost));
		if (model) figures.push(model);
		const text = textOf(message);
		return el('div.figures', null, el('span', null, figures.join(' · ')), text ? copyButton('Copy', () => textOf(this.message)) : null);
	}
}

function retryLine({ attempt, until, reason }) {
	const time = el('span.countdown', { 'data-until': String(until) });
	return el('p.note.warn', null, `${reason.replace(/\.$/, '')}. Trying again in `, time, ` (try ${attempt + 1}).`);
}

function unstoredLine(words) {
	return el('p.note.warn', null, `Not stored: the last ${plural(words, 'word')} above ${words === 1 ? 'is' : 'are'} only on this page. Copy what you need.`);
}

function textView() {
	const view = new MarkdownView();
	return { node: view.node, get count() { return view.count; }, update: (part, growing) => view.update(part.text, growing) };
}

// What the model thought, folded away; parsed only when somebody looks.
function reasoningView() {
	const view = new MarkdownView();
	const words = el('span', null, 'Thinking');
	const node = el('details.reasoning', null, el('summary', null, icon('chevron'), words), view.node);
	let now = null;
	let growing = false;
	const show = () => node.open && now && view.update(now.text, growing);
	node.addEventListener('toggle', show);
	return { node, update(part, grows) {
		[now, growing] = [part, grows];
		node.hidden = !part.text.trim();
		setText(words, grows ? 'Thinking…' : 'Thought');
		toggle(node, 'growing', grows);
		show();
	} };
}
