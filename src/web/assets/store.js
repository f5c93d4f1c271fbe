// A session as it is now, folded from what the server stores and the events that follow. Knows
// neither the page nor the network; times are milliseconds and come in from outside.

import { wordsIn } from './words.js';

const OUTPUT_CHARS = 64 * 1024;

// A session as `GET /api/sessions/:id` tells it.
export function sessionOf(view, more = false, now = Date.now()) {
	const session = { ...view, more, lastEventId: view.lastEventId ?? 0 };
	session.messages = (view.messages ?? []).map(messageOf);
	const last = session.messages.at(-1);
	// The messages are read after the status, so they know better.
	const running = last?.role === 'assistant' && !last.finishReason;
	session.status = running ? 'running' : 'idle';
	if (running) Object.assign(last, { running, startedAt: Math.min(Date.parse(last.createdAt), now), waitedMs: 0 });
	for (const question of view.pendingPermissions ?? []) {
		const part = last && partOf(last, question.callId);
		if (!part) continue;
		part.question = question;
		last.waitingSince = now;
	}
	session.waiting = hasQuestion(session);
	return session;
}

export function prepend(session, view, more) {
	session.messages.unshift(...view.messages.map(messageOf));
	session.more = more;
}

function messageOf(message) {
	return { ...message, parts: message.parts.map(part => ({ ...part })) };
}

export const hasQuestion = session =>
	Boolean(session.messages.at(-1)?.parts.some(part => part.question));

export const textOf = message =>
	message.parts.filter(part => part.type === 'text').map(part => part.text).join('');

function partOf(message, callId) {
	return message.parts.findLast(part => part.type === 'tool' && part.id === callId);
}

// Takes an event in. Answers what it was to the page: `stale` (seen before), `gap` (fetch the
// session again), `changed`, or nothing.
export function fold(session, event, now) {
	if (event.eventId) {
		if (event.eventId <= session.lastEventId) return 'stale';
		session.lastEventId = event.eventId;
	}
	if (event.type === 'gap') return 'gap';
	if (event.type === 'session') {
		begin(session, event, now);
		return 'changed';
	}
	const answer = session.messages.at(-1);
	if (answer?.role !== 'assistant') return undefined;
	const folder = FOLDERS[event.type];
	if (!folder) return undefined;
	if (event.type !== 'error') answer.retry = null;
	folder(answer, event, now, session);
	return 'changed';
}

function begin(session, event, now) {
	Object.assign(session, {
		title: event.title, agent: event.agent, model: event.model, status: 'running', waiting: false,
	});
	session.messages.push(
		{ id: event.userMessageId, role: 'user', parts: [{ type: 'text', text: event.message }] },
		{ id: event.messageId, role: 'assistant', parts: [], model: event.model, running: true, startedAt: now, waitedMs: 0 },
	);
}

const FOLDERS = {
	text(answer, { content }) {
		const last = answer.parts.at(-1);
		if (last?.type === 'text') last.text += content;
		else answer.parts.push({ type: 'text', text: content });
	},
	reasoning(answer, { content, opaque }) {
		const last = answer.parts.at(-1);
		if (last?.type === 'reasoning' && !last.opaque) {
			last.text += content;
			last.opaque = opaque;
		} else {
			answer.parts.push({ type: 'reasoning', text: content, opaque });
		}
	},
	tool_start(answer, { id, tool, args }, now) {
		answer.parts.push({ type: 'tool', id, tool, args, status: 'running', output: '', startedAt: now });
	},
	tool_output(answer, { id, content }) {
		const part = partOf(answer, id);
		if (!part) return;
		part.output = ((part.output ?? '') + content).slice(-OUTPUT_CHARS);
		part.printed = (part.printed ?? 0) + content.length;
	},
	permission(answer, event, now, session) {
		const part = partOf(answer, event.callId);
		if (part) part.question = event;
		answer.waitingSince ??= now;
		session.waiting = true;
	},
	permission_reply(answer, { id }, now, session) {
		const part = answer.parts.find(part => part.question?.id === id);
		if (part) {
			part.question = null;
			part.startedAt = now;
		}
		stopWaiting(answer, now);
		session.waiting = false;
	},
	tool_end(answer, { id, result, isError, denied, durationMs }) {
		const part = partOf(answer, id);
		if (!part) return;
		const status = denied ? 'denied' : isError ? 'error' : 'completed';
		Object.assign(part, { result, status, durationMs, question: null });
	},
	retry(answer, { attempt, waitMs, reason }, now) {
		answer.retry = { attempt, reason, until: now + waitMs };
	},
	error(answer, { message }) {
		answer.error = message;
	},
	done(answer, { finishReason, limit, usage, durationMs, waitedMs }, now, session) {
		stopWaiting(answer, now);
		Object.assign(answer, { finishReason, limit, usage, durationMs, waitedMs: waitedMs ?? answer.waitedMs, running: false });
		answer.parts.forEach(part => { part.question = null; });
		Object.assign(session, { status: 'idle', waiting: false, stopping: false });
		addUsage(session, usage);
	},
};

function stopWaiting(answer, now) {
	if (!answer.waitingSince) return;
	answer.waitedMs = (answer.waitedMs ?? 0) + now - answer.waitingSince;
	answer.waitingSince = null;
}

function addUsage(session, usage) {
	if (!usage) return;
	const sum = session.usage ?? (session.usage = { inputTokens: 0, outputTokens: 0, cost: null });
	for (const [key, value] of Object.entries(usage)) {
		if (typeof value === 'number') sum[key] = (sum[key] ?? 0) + value;
	}
}

// Puts what the server has stored in the place of what was followed, and keeps what was read and
// is not stored: a server that was killed loses up to a second of text.
export function mergeStored(local, stored) {
	const known = new Map(local.messages.map(message => [message.id, message]));
	stored.messages = stored.messages.map(message => {
		const mine = known.get(message.id);
		return mine ? mergeMessage(mine, message) : message;
	});
	const first = stored.messages[0]?.id;
	const older = first ? local.messages.filter(message => message.id < first) : [];
	if (older.length) {
		stored.messages.unshift(...older);
		stored.more = local.more;
	}
	return stored;
}

function mergeMessage(mine, message) {
	const [read, kept] = [textOf(mine), textOf(message)];
	// This clock's times, not the server's.
	for (const key of ['startedAt', 'waitedMs', 'waitingSince']) message[key] = mine[key] ?? message[key];
	if (message.running) return message;
	const lost = read.length > kept.length && read.startsWith(kept);
	if (!lost) return message;
	const parts = mine.parts.map(part => {
		const same = part.type === 'tool' && partOf(message, part.id);
		return same ? { ...part, ...same, question: null } : part;
	});
	return { ...message, parts, unstored: wordsIn(read.slice(kept.length)) };
}

export function stateOf(session) {
	if (session.waiting) return 'asks';
	if (session.status === 'running') return 'running';
	return 'idle';
}
