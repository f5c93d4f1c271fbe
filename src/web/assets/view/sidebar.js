// The list of sessions: what each one is doing, search, a menu.

import { el, iconButton, setText, sign } from '../dom.js';
import { stateOf } from '../store.js';
import { ago, count, period, tokensOf } from '../words.js';

const MARKS = { running: '●', asks: '?', done: '✓', idle: '' };

export class Sidebar {
	#rows = new Map();

	constructor(node, sessions, actions) {
		this.node = node;
		this.list = node.querySelector('#list');
		this.search = node.querySelector('#search');
		this.sessions = sessions;
		this.actions = actions;
		let whole = false;
		this.search.addEventListener('input', async () => {
			this.draw();
			if (whole || !sessions.hasMore) return;
			whole = true;
			await sessions.loadList(true).catch(() => { whole = false; });
		});
		this.search.addEventListener('keydown', event => this.#inSearch(event));
		this.list.addEventListener('scroll', () => this.#more(), { passive: true });
		setInterval(() => document.hidden || this.draw(), 30_000);
	}

	async #more() {
		const { list, sessions } = this;
		if (this.loading || !sessions.hasMore || list.scrollHeight - list.scrollTop - list.clientHeight > 300) return;
		this.loading = true;
		await sessions.loadList('more').catch(() => {});
		this.loading = false;
	}

	#inSearch(event) {
		if (event.key === 'Escape' && this.search.value) {
			this.search.value = '';
			this.draw();
			event.stopPropagation();
		} else if (event.key === 'ArrowDown' || event.key === 'Enter') {
			event.preventDefault();
			this.list.querySelector('a')?.focus();
		}
	}

	get order() {
		return this.sessions.listed(this.search.value);
	}

	// Draws the list; rows stay the same nodes, so focus and hover stay too.
	draw() {
		const now = Date.now();
		const heads = this.order;
		const wanted = [];
		let last;
		for (const head of heads) {
			const group = period(Date.parse(head.updatedAt), now);
			if (group !== last) wanted.push(this.#group(group));
			last = group;
			wanted.push(this.#row(head, now));
		}
		if (!heads.length) wanted.push(this.#none());
		wanted.forEach((node, at) => {
			if (this.list.children[at] !== node) this.list.insertBefore(node, this.list.children[at] ?? null);
		});
		while (this.list.children.length > wanted.length) this.list.lastElementChild.remove();
		for (const id of this.#rows.keys()) if (!id.includes(' ') && !this.sessions.heads.has(id)) this.#rows.delete(id);
	}

	#group(name) {
		const key = `group ${name}`;
		if (!this.#rows.has(key)) this.#rows.set(key, el('h3.group', null, name));
		return this.#rows.get(key);
	}

	#none() {
		return el('p.none', null, this.search.value ? 'No title fits.' : 'Nothing here yet. What you ask begins a session.');
	}

	#row(head, now) {
		let row = this.#rows.get(head.id);
		if (!row) this.#rows.set(head.id, row = this.#newRow(head.id));
		const state = stateOf(head);
		const shown = state === 'idle' && head.unseen ? 'done' : state;
		row.node.dataset.state = shown;
		setText(row.mark, MARKS[shown]);
		setText(row.title, head.title);
		row.link.title = head.title;
		row.menu.setAttribute('aria-label', `Menu of ${head.title}`);
		setText(row.sub, subline(shown, head, now));
		const isCurrent = head.id === this.sessions.current;
		row.node.classList.toggle('current', isCurrent);
		if (isCurrent) row.link.setAttribute('aria-current', 'page');
		else row.link.removeAttribute('aria-current');
		return row.node;
	}

	#newRow(id) {
		const mark = sign();
		const title = el('span.title');
		const sub = el('span.sub');
		const link = el('a', { href: this.actions.address(id), onclick: event => {
			if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
			event.preventDefault();
			this.actions.go(id);
		}, onkeydown: event => this.#onRow(event, id) }, mark, el('span.lines', null, title, sub));
		const menu = iconButton('more', '', event => this.actions.sessionMenu(id, event.currentTarget));
		return { node: el('div.session', null, link, menu), mark, title, sub, link, menu };
	}

	#onRow(event, id) {
		if (event.key === 'Delete') this.actions.remove(id);
		else if (event.key === 'F2') this.actions.rename(id);
		else return;
		event.preventDefault();
	}
}

function subline(state, head, now) {
	if (state === 'asks') return 'asks you';
	if (state === 'running') return 'working';
	const tokens = tokensOf(head.usage);
	return [ago(Date.parse(head.updatedAt), now), tokens ? count(tokens) : null, state === 'done' ? 'done' : null].filter(Boolean).join(' · ');
}
