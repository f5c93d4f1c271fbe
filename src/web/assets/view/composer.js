// The box to write in: drafts by session, what was asked before, files behind `@`, Send and Stop in
// one place.

import { el, icon, setText, toggle } from '../dom.js';
import { get } from '../net.js';
import { settings } from '../settings.js';
import { count, dollars, tokensOf } from '../words.js';

const TALLEST = 0.4;
// On a phone Enter begins a line, as everywhere there, and the button sends.
const coarse = matchMedia('(pointer: coarse)');
const FILES = 8;

export class Composer {
	#history = -1;
	#files = [];
	#at = 0;
	#search = null;
	#key = null;

	constructor(form, actions) {
		this.actions = actions;
		this.form = form;
		this.field = form.querySelector('textarea');
		this.send = form.querySelector('#send');
		this.usage = form.querySelector('#usage');
		this.agent = form.querySelector('#agent');
		this.model = form.querySelector('#model');
		this.list = form.querySelector('#files');
		form.addEventListener('submit', event => {
			event.preventDefault();
			this.#submit();
		});
		this.send.addEventListener('click', event => {
			if (!this.running) return;
			event.preventDefault();
			actions.stop();
		});
		this.field.addEventListener('input', () => this.#typed());
		this.field.addEventListener('keydown', event => this.#pressed(event));
		this.field.addEventListener('blur', () => setTimeout(() => this.#close(), 150));
		this.agent.addEventListener('click', actions.chooseAgent);
		this.model.addEventListener('click', actions.chooseModel);
		addEventListener('resize', () => this.#fit());
	}

	get text() {
		return this.field.value;
	}

	open(key) {
		if (this.#key !== key) this.#history = -1;
		this.#key = key;
		this.#put(settings.draft(key), false);
	}

	moved(key) {
		this.#key = key;
		settings.setDraft(key, this.text);
	}

	#put(text, store = true) {
		this.field.value = text;
		if (store) settings.setDraft(this.#key, text);
		this.#fit();
		this.#close();
	}

	restore(text) {
		this.#put(this.text && this.text !== text ? `${text}\n\n${this.text}` : text);
		this.field.focus();
	}

	#submit() {
		const text = this.text.trim();
		// The box may be empty: Enter tries a lost connection at once.
		if (!this.actions.send(text)) return this.field.focus();
		settings.addPrompt(text);
		this.#history = -1;
		return this.#put('');
	}

	update(session, { online, agent, model, unavailable }) {
		const running = session?.status === 'running';
		const stopping = session?.stopping;
		this.running = running;
		toggle(this.send, 'is-stop', running);
		this.send.disabled = Boolean(!online || stopping || session?.pending);
		const words = running ? (stopping ? 'Stopping' : 'Stop') : 'Send';
		if (this.send.dataset.words !== words) {
			this.send.dataset.words = words;
			this.send.replaceChildren(icon(running ? 'stop' : 'send'), el('span', null, words));
		}
		setText(this.agent.lastChild, agent);
		setText(this.model.lastChild, model);
		toggle(this.model, 'unavailable', unavailable);
		const used = session?.usage;
		const tokens = tokensOf(used);
		setText(this.usage, tokens ? [`${count(tokens)} tokens`, used.cost ? dollars(used.cost) : ''].filter(Boolean).join(' · ') : '');
	}

	#fit() {
		this.field.style.height = 'auto';
		this.field.style.height = `${Math.min(this.field.scrollHeight, innerHeight * TALLEST)}px`;
		toggle(this.field, 'tall', this.field.scrollHeight > innerHeight * TALLEST);
	}

	#typed() {
		settings.setDraft(this.#key, this.text);
		this.#history = -1;
		this.#fit();
		this.#complete();
	}

	#pressed(event) {
		if (event.isComposing) return;
		if (this.#files.length && this.#inList(event)) {
			event.preventDefault();
			event.stopPropagation();
			return;
		}
		if (event.key === 'Enter' && !event.shiftKey && !event.altKey && !coarse.matches) {
			event.preventDefault();
			if (this.running) this.actions.busy();
			else this.#submit();
		} else if (!event.altKey && (this.#history >= 0 || (event.key === 'ArrowUp' && !this.text))) {
			const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
			if (!by) return;
			event.preventDefault();
			this.#recall(by);
		}
	}

	#recall(by) {
		const prompts = settings.prompts();
		const next = this.#history + by;
		if (next >= prompts.length) return;
		this.#history = next;
		this.#put(next < 0 ? '' : prompts.at(-1 - next));
	}

	// A name with a space in it stands in quotes.
	#mention() {
		const before = this.text.slice(0, this.field.selectionStart);
		const found = /(?:^|[\s("'`])(@(?:"([^"\n]{0,200})|([^\s"@]{0,200})))$/.exec(before);
		return found && { from: before.length - found[1].length, query: found[2] ?? found[3] };
	}

	async #complete() {
		const mention = this.#mention();
		this.#search?.abort();
		if (!mention) return this.#close();
		this.#search = new AbortController();
		try {
			const path = `api/files?limit=${FILES}&query=${encodeURIComponent(mention.query)}`;
			const files = await get(path, { signal: this.#search.signal });
			if (this.#mention()?.query === mention.query) this.#show(files);
		} catch (error) {
			if (error.name !== 'AbortError') this.#close();
		}
		return undefined;
	}

	#show(files) {
		this.#files = files;
		this.#at = 0;
		this.list.replaceChildren(...files.map((path, at) => {
			const cut = path.replace(/\/$/, '').lastIndexOf('/') + 1;
			return el('div.file', {
				role: 'option', id: `file-${at}`, onpointerdown: event => event.preventDefault(), onclick: () => this.#insert(at),
			}, el('span.folder', null, path.slice(0, cut)), path.slice(cut));
		}));
		this.list.hidden = !files.length;
		if (files.length) this.#mark();
		else this.#close();
	}

	#mark() {
		[...this.list.children].forEach((node, at) => node.setAttribute('aria-selected', String(at === this.#at)));
		this.field.setAttribute('aria-activedescendant', `file-${this.#at}`);
		this.list.children[this.#at]?.scrollIntoView({ block: 'nearest' });
	}

	#inList({ key, shiftKey }) {
		const count = this.#files.length;
		if (key === 'ArrowDown' || key === 'ArrowUp') {
			this.#at = (this.#at + (key === 'ArrowDown' ? 1 : count - 1)) % count;
			this.#mark();
		} else if ((key === 'Enter' && !shiftKey) || key === 'Tab') {
			this.#insert(this.#at);
		} else if (key === 'Escape') {
			this.#close();
		} else {
			return false;
		}
		return true;
	}

	#insert(at) {
		const mention = this.#mention();
		if (!mention) return this.#close();
		const path = this.#files[at];
		this.field.focus();
		const name = /\s/.test(path) ? `"${path}"` : path;
		this.field.setRangeText(`@${name} `, mention.from, this.field.selectionStart, 'end');
		this.#close();
		return this.#typed();
	}

	#close() {
		this.#search?.abort();
		this.#files = [];
		this.list.hidden = true;
		this.field.removeAttribute('aria-activedescendant');
	}
}
