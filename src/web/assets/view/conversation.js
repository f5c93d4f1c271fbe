// The conversation: follows what comes while one reads at its end, holds still while one reads
// above, and adds older messages without a jump.

import { el, setText } from '../dom.js';
import { emptyView } from './empty.js';
import { tick } from './tool.js';
import { TurnView, userView } from './turn.js';

const NEAR = 48;
const AHEAD = 600;

export class Conversation {
	#views = new Map();
	#dirty = false;
	#follows = true;
	#seen = 0;
	session = null;

	constructor({ scroll, column, latest }, sessions, actions) {
		Object.assign(this, { scroll, column, latest, sessions, actions });
		scroll.addEventListener('scroll', () => this.#scrolled(), { passive: true });
		latest.addEventListener('click', () => this.toEnd());
		// What grows without an event, an opened card or a late font, is followed too.
		new ResizeObserver(() => this.#settle()).observe(column);
		new ResizeObserver(() => this.#settle()).observe(scroll);
		setInterval(() => tick(column, Date.now()), 250);
	}

	show(session, { again = false, info } = {}) {
		const keeps = again && session && this.session?.id === session.id;
		const top = this.scroll.scrollTop;
		this.session = session;
		this.#views.clear();
		if (!session || (!session.messages.length && !session.pending)) {
			this.column.replaceChildren(...(session?.loading ? [] : emptyView(info, this.actions)));
		} else {
			this.column.replaceChildren(...this.#build());
		}
		if (keeps && !this.#follows) this.scroll.scrollTop = top;
		else this.toEnd();
	}

	#build() {
		const nodes = [];
		if (this.session.more) nodes.push(el('div.older', null, 'Older messages'));
		for (const message of this.#messages()) nodes.push(this.#viewOf(message).node);
		return nodes;
	}

	#messages() {
		const { messages, pending } = this.session;
		return pending ? [...messages, pending] : messages;
	}

	#viewOf(message) {
		const view = message.role === 'user' ? userView(message) : new TurnView(message, this.actions);
		this.#views.set(message.id, view);
		return view;
	}

	touch() {
		if (this.#dirty) return;
		this.#dirty = true;
		if (document.hidden) setTimeout(() => this.#draw(), 200);
		else requestAnimationFrame(() => this.#draw());
	}

	#draw() {
		this.#dirty = false;
		if (!this.session) return;
		const messages = this.#messages();
		if (!this.#views.size && messages.length) this.column.replaceChildren();
		// Only the end of a conversation ever changes.
		const tail = messages.slice(-4);
		const kept = new Set(tail.map(message => message.id));
		for (const message of tail) {
			const view = this.#views.get(message.id);
			if (view) view.update(message);
			else this.column.append(this.#viewOf(message).node);
		}
		for (const [id, view] of this.#views) {
			if (!view.message.pending || kept.has(id)) continue;
			view.node.remove();
			this.#views.delete(id);
		}
		this.#settle();
		tick(this.column, Date.now());
	}

	get #atEnd() {
		return this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight < NEAR;
	}

	#count() {
		let sum = 0;
		for (const view of this.#views.values()) sum += view.count;
		return sum;
	}

	#settle() {
		if (this.#follows) {
			this.scroll.scrollTop = this.scroll.scrollHeight;
			this.#seen = this.#count();
		}
		this.#showLatest();
	}

	#showLatest() {
		const away = !this.#follows && !this.#atEnd;
		this.latest.hidden = !away;
		if (!away) return;
		const fresh = this.#count() - this.#seen;
		setText(this.latest.querySelector('span'), fresh > 0 ? `${fresh} new` : 'Latest');
	}

	#scrolled() {
		const atEnd = this.#atEnd;
		if (atEnd !== this.#follows) {
			this.#follows = atEnd;
			this.#seen = this.#count();
			this.#showLatest();
		}
		if (this.scroll.scrollTop < AHEAD && this.session?.more) this.#older();
	}

	async #older() {
		const { session } = this;
		if (!(await this.sessions.loadOlder()) || session !== this.session) return;
		const first = this.column.querySelector('article');
		const before = first.getBoundingClientRect().top;
		const known = session.messages.filter(message => !this.#views.has(message.id));
		const views = known.map(message => this.#viewOf(message).node);
		first.before(...views);
		if (!session.more) this.column.querySelector('.older')?.remove();
		this.scroll.scrollTop += first.getBoundingClientRect().top - before;
	}

	toEnd() {
		this.#follows = true;
		this.#settle();
	}

	get question() {
		return this.column.querySelector('.permission:not(.answered)');
	}
}
