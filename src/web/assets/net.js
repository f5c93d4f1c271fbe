// The way to the server: requests, and one WebSocket that comes back by itself. The server is where
// the page came from, behind whatever base path.

const deep = /^(.*\/)s\/[^/]+$/.exec(location.pathname);
const base = deep ? deep[1] : location.pathname.replace(/[^/]*$/, '');

export const root = new URL(base, location.origin);
export const sessionInAddress = () => /\/s\/([^/]+)$/.exec(location.pathname)?.[1] ?? null;

// What the server refused, in its own words; status 0 where it could not be reached.
export class Refusal extends Error {
	constructor(status, { detail, title } = {}) {
		super(detail || title || `the server answered ${status}`);
		this.status = status;
	}
}

export async function request(method, path, body, { signal, keepalive } = {}) {
	const headers = { 'X-Opencode-Page': '1' };
	if (body !== undefined) headers['Content-Type'] = 'application/json';
	let answer;
	try {
		answer = await fetch(new URL(path, root), {
			method, headers, keepalive, signal, body: body === undefined ? undefined : JSON.stringify(body),
		});
	} catch (error) {
		if (error.name === 'AbortError') throw error;
		throw new Refusal(0, { detail: 'the server cannot be reached' });
	}
	const text = await answer.text();
	const value = text && /json/.test(answer.headers.get('content-type') ?? '') ? JSON.parse(text) : null;
	if (!answer.ok) throw new Refusal(answer.status, value ?? undefined);
	return { value, more: /rel="next"/.test(answer.headers.get('link') ?? '') };
}

export const get = async (path, options) => (await request('GET', path, undefined, options)).value;

// Tries come a second apart for half a minute, then more and more seldom.
const SOON_MS = 1000;
const PATIENT_MS = 30_000;
const SELDOM_MS = 15_000;
const PING_MS = 5000;
const PONG_MS = 4000;

// The WebSocket. `onstate` hears of `connecting`, `online`, `gone` and `signed-out`; `onevent` of
// what the server says.
export class Link {
	#socket = null;
	#timer = 0;
	#pong = 0;
	#delay = SOON_MS;
	#lostAt = 0;
	// How long the server had run when it told so last, less that moment, in seconds.
	#up = -Infinity;
	#followed = new Map();

	constructor({ onstate, onevent, place }) {
		Object.assign(this, { onstate, onevent, place, state: 'connecting', nextTry: 0 });
		setInterval(() => this.#ping(), PING_MS);
		addEventListener('online', () => this.tryNow());
		addEventListener('offline', () => this.#lose());
		document.addEventListener('visibilitychange', () => document.hidden || this.#ping());
	}

	get isOnline() {
		return this.state === 'online';
	}

	// Follows a session from behind an event, now and whenever the connection comes back; `place`
	// then says how far it was read.
	follow(session) {
		this.#followed.set(session, true);
		this.#subscribe(session);
	}

	leave(session) {
		if (this.#followed.delete(session)) this.say({ type: 'unsubscribe', sessionId: session });
	}

	say(message) {
		if (!this.isOnline) return false;
		this.#socket.send(JSON.stringify(message));
		return true;
	}

	async tryNow() {
		clearTimeout(this.#timer);
		if (this.#socket || this.trying) return;
		this.trying = true;
		try {
			const asked = Date.now();
			const status = await get('api/status', { signal: AbortSignal.timeout(PONG_MS) });
			// It is told in whole seconds, and told late.
			this.restarted = this.#lostAt > 0 && status.uptimeSeconds + 1 < this.#up + asked / 1000;
			this.#up = status.uptimeSeconds - Date.now() / 1000;
			this.status = status;
			this.#open();
		} catch (error) {
			if (error.status === 401) this.#become('signed-out');
			else this.#again();
			// A server that is there and refuses says why.
			this.problem = error.status ? error.message : null;
		} finally {
			this.trying = false;
		}
	}

	#open() {
		const address = new URL('ws', root);
		address.protocol = root.protocol.replace('http', 'ws');
		const socket = new WebSocket(address);
		this.#socket = socket;
		socket.onopen = () => {
			this.#delay = SOON_MS;
			this.#lostAt = 0;
			this.state = 'online';
			for (const session of this.#followed.keys()) this.#subscribe(session);
			this.onstate('online');
		};
		socket.onmessage = ({ data }) => {
			clearTimeout(this.#pong);
			this.#pong = 0;
			const event = JSON.parse(data);
			if (event.type !== 'pong') this.onevent(event);
		};
		socket.onclose = () => this.#socket === socket && this.#lose();
	}

	#subscribe(session) {
		const after = this.place(session);
		this.say({ type: 'subscribe', sessionId: session, after, requestId: `follow ${session}` });
	}

	#lose() {
		const socket = this.#socket;
		this.#socket = null;
		clearTimeout(this.#pong);
		this.#pong = 0;
		if (socket) {
			socket.onclose = socket.onmessage = null;
			socket.close();
		}
		this.#lostAt ||= Date.now();
		this.#again();
	}

	#again() {
		if (Date.now() - (this.#lostAt ||= Date.now()) > PATIENT_MS) this.#delay = Math.min(this.#delay * 1.5, SELDOM_MS);
		this.nextTry = Date.now() + this.#delay;
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => this.tryNow(), this.#delay);
		this.#become('gone');
	}

	#become(state) {
		this.state = state;
		this.onstate(state);
	}

	#ping() {
		if (!this.isOnline || this.#pong || document.hidden) return;
		this.say({ type: 'ping' });
		this.#pong = setTimeout(() => this.#lose(), PONG_MS);
	}
}
