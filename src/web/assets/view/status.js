// What is going on, in words: the line above the box, the tab's title and icon, and a voice for who
// cannot see.

import { el, setText, sign } from '../dom.js';
import { stateOf } from '../store.js';
import { duration, plural } from '../words.js';
import { summary, toolName } from './tool.js';

const COLOURS = { idle: '', running: '#2f7de1', asks: '#e08a00', done: '#1f9d55', gone: '#8a8a85' };
const TITLE_MARKS = { running: '● ', asks: '? ', done: '✓ ', gone: '○ ', idle: '' };

export class Status {
	#notice = null;

	constructor({ line, voice, state }, { link, sessions, actions }) {
		Object.assign(this, { line, voice, stateNode: state, link, sessions, actions });
		setInterval(() => this.draw(), 250);
		document.addEventListener('visibilitychange', () => {
			if (!document.hidden) this.done = false;
			this.draw();
		});
	}

	notice(text, tone = 'warn', ms = 8000, action = null) {
		this.#notice = { text, tone, until: Date.now() + ms, action };
		this.draw();
		this.say(text);
	}

	clear() {
		this.#notice = null;
		this.draw();
	}

	say(text) {
		this.voice.textContent = '';
		this.voice.textContent = text;
	}

	draw() {
		const now = Date.now();
		if (this.#notice?.until < now) this.#notice = null;
		const session = this.sessions.shown;
		const current = this.#current(session, now);
		const key = `${current.tone} ${current.text} ${current.action?.label}`;
		if (key !== this.drawn) {
			this.drawn = key;
			this.line.className = `state ${current.tone ?? ''}`;
			this.line.replaceChildren(...(current.mark ? [sign(current.mark)] : []),
				el('span.words', null, current.text ?? ''),
				...(current.action ? [el('button.quiet', { onclick: current.action.run }, current.action.label)] : []));
		}
		this.#tab(session);
		const words = { online: 'connected', gone: 'server gone', connecting: 'connecting', 'signed-out': 'signed out' }[this.link.state];
		setText(this.stateNode.querySelector('span'), words);
		this.stateNode.dataset.state = this.link.state;
	}

	#current(session, now) {
		if (this.link.state === 'gone') {
			const seconds = Math.max(0, Math.ceil((this.link.nextTry - now) / 1000));
			return { tone: 'warn', mark: '○', text: `${this.link.problem ?? 'Server gone'}; trying again ${seconds ? `in ${seconds} s` : 'now'}`, action: { label: 'Try now', run: () => this.link.tryNow() } };
		}
		if (this.#notice) {
			const { text, tone, action } = this.#notice;
			return { text, tone, mark: tone === 'ok' ? '✓' : tone === 'err' ? '✗' : '', action };
		}
		if (session?.pending) return { tone: 'muted', mark: '●', text: 'sending' };
		const answer = session?.messages?.at(-1);
		if (!answer?.running) return {};
		if (session.stopping) return { tone: 'busy', mark: '●', text: 'stopping…' };
		const part = answer.parts.at(-1);
		if (answer.parts.some(one => one.question)) {
			return { tone: 'asks', mark: '?', text: 'asks you', action: { label: matchMedia('(pointer: coarse)').matches ? 'Show' : 'Show (Alt Y)', run: this.actions.toQuestion } };
		}
		const ran = since => (now - since >= 1000 ? ` · ${duration(Math.floor((now - since) / 1000) * 1000).replace('.0', '')}` : '');
		if (answer.retry) return { tone: 'warn', mark: '●', text: 'waiting for the provider · Esc stops' };
		if (part?.type === 'tool' && part.status === 'running') {
			return { tone: 'busy', mark: '●', text: `${toolName(part.tool)}${ran(part.startedAt ?? now)} · Esc stops` };
		}
		const doing = part?.type === 'text' ? 'writing' : part?.type === 'reasoning' ? 'thinking' : 'waiting for the model';
		return { tone: 'busy', mark: '●', text: `${doing}${ran(answer.startedAt + (answer.waitedMs ?? 0))} · Esc stops` };
	}

	#tab(session) {
		let state = session ? stateOf(session) : 'idle';
		if (state === 'idle' && this.done) state = 'done';
		if (this.link.state === 'gone') state = 'gone';
		if (state === 'idle' && [...this.sessions.heads.values()].some(head => head.waiting)) state = 'asks';
		const title = `${TITLE_MARKS[state]}${session?.title || 'opencode'}${session?.title ? ' · opencode' : ''}`;
		if (document.title !== title) document.title = title;
		if (state === this.icon) return;
		this.icon = state;
		const dot = COLOURS[state] ? `<circle cx="24" cy="24" r="8" fill="${COLOURS[state]}" stroke="#fff" stroke-width="2"/>` : '';
		const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#1a1b19"/><path d="M8 9l7 7-7 7" fill="none" stroke="#fff" stroke-width="3.5"/><path d="M17 23h7" stroke="#fff" stroke-width="3.5"/>${dot}</svg>`;
		document.querySelector('link[rel=icon]').href = `data:image/svg+xml,${encodeURIComponent(drawing)}`;
	}

	// Says what an event means to who cannot see it; not every token.
	voiceOf(event, session) {
		const part = session.messages.at(-1)?.parts.findLast(one => one.id === event.id);
		if (event.type === 'permission') this.say(`${toolName(event.tool)} asks you: ${summary(event)}. Alt Y goes there.`);
		else if (event.type === 'tool_end') this.say(`tool ${toolName(event.tool)} ${event.denied ? 'refused' : event.isError ? 'failed' : 'finished'}${part?.durationMs >= 1000 ? ` after ${duration(part.durationMs)}` : ''}`);
		else if (event.type === 'error') this.say(`The turn failed: ${event.message}`);
		else if (event.type === 'done') this.say(event.finishReason === 'aborted' ? 'answer stopped' : 'answer finished');
	}

	back({ restarted, words }) {
		if (restarted) this.notice('Back: the server was started again', 'ok', 4000);
		else this.notice(words > 0 ? `Back: ${plural(words, 'word')} caught up` : 'Back: nothing was missed', 'ok', 2500);
	}
}
