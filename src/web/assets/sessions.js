// All sessions: the list, those that are open, what a person does with them, in step with the
// server, whoever changed them. Knows nothing of the page.

import { Refusal, get, request } from './net.js';
import { fold, hasQuestion, mergeStored, prepend, sessionOf, textOf } from './store.js';
import { wordsIn } from './words.js';

const LIST_PAGE = 50;
const MESSAGE_PAGE = 50;
const OPEN = 8;
export const UNDO_MS = 8000;
const UNSURE_MS = 1500;

export class Sessions {
	heads = new Map();
	open = new Map();
	current = null;
	hasMore = false;
	// Hidden, and deleted when their time is over.
	deleting = new Map();
	#asked = new Map();
	#fetching = new Map();
	#hear = new Map();

	constructor(link) {
		this.link = link;
	}

	on(type, hears) {
		this.#hear.set(type, hears);
	}

	#tell(type, detail) {
		this.#hear.get(type)?.(detail);
	}

	// The session that is looked at; one that has no id yet where its first message is under way.
	get shown() {
		return this.current ? this.open.get(this.current) : this.beginning;
	}

	listed(query = '') {
		const words = query.toLowerCase().split(/\s+/).filter(Boolean);
		return [...this.heads.values()]
			.filter(head => !this.deleting.has(head.id))
			.filter(head => words.every(word => head.title.toLowerCase().includes(word)))
			.sort((a, b) => Date.parse(b.updatedAt) - Date.parse(a.updatedAt));
	}

	async loadList(all = false) {
		const last = [...this.heads.keys()].sort()[0];
		const from = all === 'more' && last ? `&before=${last}` : '';
		const limit = all === true ? 100_000 : LIST_PAGE;
		const { value, more } = await request('GET', `api/sessions?limit=${limit}${from}`);
		for (const head of value) this.#see(head);
		// Those that the page would have told of, and does not, are gone.
		const told = new Set(value.map(head => head.id));
		const floor = more ? value.at(-1).id : '';
		for (const id of all ? [] : this.heads.keys()) if (id >= floor && !told.has(id)) this.heads.delete(id);
		if (from || all || this.heads.size <= LIST_PAGE) this.hasMore = more;
		this.#tell('list');
	}

	#see(head) {
		const before = this.heads.get(head.id);
		this.heads.set(head.id, { ...before, ...head });
	}

	async show(id) {
		this.current = id;
		this.beginning = null;
		const head = id && this.heads.get(id);
		if (head?.unseen) {
			head.unseen = false;
			this.#tell('list');
		}
		const known = id && this.open.get(id);
		if (known) {
			this.open.delete(id);
			this.open.set(id, known);
		}
		this.#tell('shown');
		if (id && !known) await this.fetch(id);
	}

	// Reads a session from the server, and follows it from there on.
	fetch(id) {
		// One look at a time; whoever asks meanwhile wants one that began later.
		const before = this.#fetching.get(id);
		const next = (before ? before.catch(() => {}) : Promise.resolve()).then(() => this.#fetch(id));
		this.#fetching.set(id, next);
		return next.finally(() => this.#fetching.get(id) === next && this.#fetching.delete(id));
	}

	async #fetch(id) {
		try {
			const { value, more } = await request('GET', `api/sessions/${id}?limit=${MESSAGE_PAGE}`);
			const local = this.open.get(id);
			let session = sessionOf(value, more);
			if (local) session = mergeStored(local, session);
			this.open.set(id, session);
			this.#see(headOf(session));
			this.#forget();
			this.link.follow(id);
			this.#tell('list');
			if (id === this.current) this.#tell('replaced', { session, again: Boolean(local) });
		} catch (error) {
			if (error.status === 404) this.#gone(id);
			else if (error.status !== 401 && error.status !== 0) this.#tell('failed', error);
		}
	}

	#forget() {
		for (const id of this.open.keys()) {
			if (this.open.size <= OPEN) return;
			if (id === this.current || this.open.get(id).status === 'running') continue;
			this.open.delete(id);
			this.link.leave(id);
		}
	}

	async loadOlder() {
		const session = this.shown;
		if (!session?.more || session.loading) return false;
		session.loading = true;
		try {
			const path = `api/sessions/${session.id}?limit=${MESSAGE_PAGE}&before=${session.messages[0].id}`;
			const { value, more } = await request('GET', path);
			prepend(session, value, more);
			return value.messages.length > 0;
		} catch {
			return false;
		} finally {
			session.loading = false;
		}
	}

	// After the connection came back: what was missed follows by itself, the list does not.
	async comeBack() {
		this.link.say({ type: 'subscribe', sessionId: '*' });
		// What was asked as the connection broke was heard if its session says so now.
		const unsure = [...this.#asked.values()];
		setTimeout(() => unsure.filter(asked => this.#asked.has(asked.requestId)).forEach(asked =>
			this.#takeBack(asked, 'The connection was lost before the server heard this. It is back in the box.')), UNSURE_MS);
		for (const { id, stale } of this.open.values()) if (stale) this.fetch(id);
		await this.loadList().catch(() => {});
		if (this.current && !this.open.has(this.current)) await (this.#fetching.get(this.current) ?? this.fetch(this.current));
	}

	hear(event) {
		const session = this.open.get(event.sessionId);
		switch (event.type) {
			case 'session_changed': return this.#changed(event);
			case 'session_deleted': return this.#gone(event.sessionId);
			default:
		}
		const asked = this.#asked.get(event.requestId)
			?? [...this.#asked.values()].find(one => one.session === session && session && one.message === event.message);
		if (event.type === 'error' && !event.eventId) return this.#refused(event, asked);
		if (asked && event.type === 'session') this.#heard(event, asked);
		const target = this.open.get(event.sessionId) ?? session;
		if (!target) return undefined;
		const outcome = fold(target, event, Date.now());
		if (outcome === 'gap') {
			target.stale = true;
			return this.fetch(target.id);
		}
		if (outcome !== 'changed') return undefined;
		if (['session', 'done', 'permission', 'permission_reply'].includes(event.type)) {
			this.#see(headOf(target));
			if (event.type === 'done') Object.assign(this.heads.get(target.id), { updatedAt: new Date().toISOString(), unseen: target.id !== this.current });
			this.#tell('list');
		}
		return this.#tell('changed', { session: target, event });
	}

	#changed({ sessionId, status, title, waiting }) {
		const open = this.open.get(sessionId);
		if (open && open.title !== title) {
			open.title = title;
			this.#tell('titled', open);
		}
		const head = this.heads.get(sessionId);
		const ended = head?.status === 'running' && status === 'idle';
		if (!head || (ended && !open)) this.#look(sessionId);
		if (head) {
			Object.assign(head, { status, title, waiting });
			if (ended && sessionId !== this.current) head.unseen = true;
		}
		this.#tell('list');
	}

	async #look(id) {
		try {
			const { messages, ...head } = await get(`api/sessions/${id}?limit=1`);
			this.#see(head);
			this.#tell('list');
		} catch {
		}
	}

	#gone(id) {
		this.heads.delete(id);
		this.open.delete(id);
		this.link.leave(id);
		this.#tell('list');
		if (id === this.current) this.#tell('gone', id);
	}

	// Asks. The message stands in the conversation at once, and is taken back if it was refused.
	ask(message, { agent, model } = {}) {
		const requestId = `${Date.now().toString(36)}.${Math.random().toString(36).slice(2)}`;
		const session = this.shown ?? (this.beginning = { id: null, title: '', messages: [], status: 'idle' });
		const said = this.link.say({
			type: 'chat', message, sessionId: session.id, requestId, ...(agent && { agent }), ...(model && { model }),
		});
		if (!said) return false;
		const asked = { requestId, message, session, agent, model, at: Date.now() };
		session.pending = {
			id: requestId, role: 'user', pending: true, createdAt: new Date().toISOString(),
			parts: [{ type: 'text', text: message }],
		};
		this.#asked.set(requestId, asked);
		this.#tell(session.id ? 'changed' : 'shown', { session, event: { type: 'asked' } });
		return true;
	}

	#heard(event, { requestId, session }) {
		this.#asked.delete(requestId);
		session.pending = null;
		if (session.id) return;
		const isShown = session === this.beginning;
		Object.assign(session, {
			id: event.sessionId, title: event.title, agent: event.agent, model: event.model, lastEventId: 0,
			createdAt: new Date().toISOString(), updatedAt: new Date().toISOString(), more: false,
		});
		this.open.set(session.id, session);
		this.#see(headOf(session));
		this.link.follow(session.id);
		if (!isShown) return;
		this.current = session.id;
		this.beginning = null;
		this.#tell('began', session);
	}

	#refused(event, asked) {
		const follow = /^follow (\S+)$/.exec(event.requestId ?? '')?.[1];
		if (follow) return event.code === 'session-not-found' ? this.#gone(follow) : undefined;
		if (!asked) return this.#tell('failed', new Refusal(400, { detail: event.message }));
		return this.#takeBack(asked, event.message);
	}

	#takeBack({ requestId, session, message }, why) {
		this.#asked.delete(requestId);
		session.pending = null;
		if (this.beginning === session) this.beginning = null;
		this.#tell('refused', { session, message, why });
	}

	stop(id = this.current) {
		const session = this.open.get(id);
		if (session?.status !== 'running' || session.stopping) return false;
		session.stopping = this.link.say({ type: 'abort', sessionId: id, requestId: `abort ${id}` });
		this.#tell('changed', { session, event: { type: 'stopping' } });
		return session.stopping;
	}

	answer(question, reply) {
		return this.link.say({ type: 'permission', id: question.id, reply, requestId: `answer ${question.id}` });
	}

	async rename(id, title) {
		const { value } = await request('PATCH', `api/sessions/${id}`, { title });
		this.#see(value);
		const open = this.open.get(id);
		if (open) open.title = value.title;
		this.#tell('list');
		this.#tell('titled', value);
	}

	remove(id) {
		const timer = setTimeout(() => this.finishRemoving(id), UNDO_MS);
		this.deleting.set(id, timer);
		this.#tell('list');
	}

	undo(id) {
		clearTimeout(this.deleting.get(id));
		this.deleting.delete(id);
		this.#tell('list');
	}

	async finishRemoving(id, options) {
		clearTimeout(this.deleting.get(id));
		try {
			await request('DELETE', `api/sessions/${id}`, undefined, options);
			this.#gone(id);
		} catch (error) {
			if (error.status !== 404) this.#tell('failed', error);
		}
		this.deleting.delete(id);
		this.#tell('list');
	}

	// Whether the end of its turn is known and was not heard yet.
	isBehind(id) {
		return this.open.get(id)?.status === 'running' && this.heads.get(id)?.status === 'idle';
	}

	wordsIn(id) {
		const last = this.open.get(id)?.messages.at(-1);
		return last?.role === 'assistant' ? wordsIn(textOf(last)) : 0;
	}
}

function headOf(session) {
	const { messages, pending, ...head } = session;
	return { ...head, waiting: hasQuestion(session) };
}
