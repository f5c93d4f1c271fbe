// A session folded from what is stored and from events; diffs; words for numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { counted, created, difference, parseDiff } from '../../src/web/assets/diff.js';
import { fold, mergeStored, sessionOf, stateOf, textOf } from '../../src/web/assets/store.js';
import { count, dollars, duration, period } from '../../src/web/assets/words.js';

const BEGIN = { type: 'session', title: 'T', agent: 'build', model: 'm/m', messageId: 'b', userMessageId: 'a', message: 'hello' };
const fresh = () => sessionOf({ id: 's', title: '', status: 'idle', messages: [], lastEventId: 0 });

// Tells events with dense ids, a second apart.
function tell(session, events, from = 1) {
	return events.map((event, at) => fold(session, { ...event, sessionId: 's', eventId: from + at }, (from + at) * 1000));
}

test('a turn becomes a message of each side', () => {
	const session = fresh();
	tell(session, [
		BEGIN, { type: 'reasoning', content: 'hm' }, { type: 'text', content: 'Let ' }, { type: 'text', content: 'me.' },
		{ type: 'tool_start', id: 'c', tool: 'bash', args: { command: 'ls' }, step: 0 }, { type: 'tool_output', id: 'c', content: 'out' },
		{ type: 'tool_end', id: 'c', tool: 'bash', result: 'out\n', isError: false, durationMs: 7 }, { type: 'text', content: 'Done.' },
	]);
	assert.equal(stateOf(session), 'running');
	assert.equal(fold(session, { type: 'done', eventId: 9, finishReason: 'stop', usage: { inputTokens: 5, outputTokens: 2, cost: 0.5 } }, 9000), 'changed');
	const [user, answer] = session.messages;
	assert.deepEqual([user.role, textOf(user), answer.role], ['user', 'hello', 'assistant']);
	assert.deepEqual(answer.parts.map(part => part.type), ['reasoning', 'text', 'tool', 'text']);
	assert.deepEqual([answer.parts[2].status, answer.parts[2].durationMs, answer.parts[2].output], ['completed', 7, 'out']);
	assert.deepEqual([answer.running, answer.finishReason, stateOf(session), session.usage.cost], [false, 'stop', 'idle', 0.5]);
});

test('what was seen is not taken in again, and a gap is told', () => {
	const session = fresh();
	tell(session, [BEGIN, { type: 'text', content: 'one' }]);
	assert.equal(fold(session, { type: 'text', content: 'one', eventId: 2 }, 0), 'stale');
	assert.equal(textOf(session.messages[1]), 'one');
	assert.equal(fold(session, { type: 'gap' }, 0), 'gap');
});

test('a question stops the clock, and its answer starts it again', () => {
	const session = fresh();
	tell(session, [
		BEGIN, { type: 'tool_start', id: 'c', tool: 'bash', args: {}, step: 0 },
		{ type: 'permission', id: 'q', callId: 'c', tool: 'bash', args: {}, reason: 'r', always: ['ls *'] },
	]);
	assert.equal(stateOf(session), 'asks');
	fold(session, { type: 'permission_reply', id: 'q', reply: 'once', eventId: 4 }, 63_000);
	assert.equal(stateOf(session), 'running');
	assert.equal(session.messages[1].waitedMs, 60_000);
	fold(session, { type: 'done', eventId: 5, finishReason: 'stop', usage: {}, durationMs: 3000, waitedMs: 60_001 }, 64_000);
	assert.deepEqual([session.messages[1].waitedMs, session.messages[1].durationMs], [60_001, 3000], 'the server’s own figures');
});

test('a session that is opened in the middle of its turn goes on', () => {
	const session = sessionOf({
		id: 's', status: 'running', lastEventId: 7, messages: [
			{ id: 'a', role: 'user', createdAt: '2026-01-01T00:00:00Z', parts: [{ type: 'text', text: 'x' }] },
			{ id: 'b', role: 'assistant', createdAt: '2026-01-01T00:00:00Z', parts: [{ type: 'tool', id: 'c', tool: 'bash', status: 'running' }] },
		],
		pendingPermissions: [{ id: 'q', callId: 'c' }],
	});
	assert.equal(session.messages[1].parts[0].question.id, 'q');
	assert.equal(stateOf(session), 'asks');
	assert.equal(fold(session, { type: 'text', content: 'y', eventId: 7 }, 0), 'stale');
	assert.equal(fold(session, { type: 'text', content: 'y', eventId: 8 }, 0), 'changed');
});

test('what was read and is not stored is kept, and counted', () => {
	const local = fresh();
	tell(local, [BEGIN, { type: 'text', content: 'one two three four' }]);
	const answer = { id: 'b', role: 'assistant', finishReason: 'error', error: 'ended', parts: [{ type: 'text', text: 'one two' }] };
	const view = { id: 's', lastEventId: 9, messages: [{ id: 'a', role: 'user', parts: [{ type: 'text', text: 'hello' }] }, answer] };
	const merged = mergeStored(local, sessionOf(view));
	assert.deepEqual([textOf(merged.messages[1]), merged.messages[1].unstored, merged.messages[1].error], ['one two three four', 2, 'ended']);
	const whole = { ...view, messages: [view.messages[0], { ...answer, parts: [{ type: 'text', text: 'one two three four' }] }] };
	assert.equal(mergeStored(local, sessionOf(whole)).messages[1].unstored, undefined);
});

test('a diff has both line numbers, and an edit that waits has none', () => {
	const rows = parseDiff('--- a/x\n+++ b/x\n@@ -3,3 +3,3 @@\n one\n-two\n+2\n three\n@@ -20,1 +20,2 @@\n a\n+b\n');
	assert.deepEqual(rows.map(row => [row.kind, row.old, row.new, row.text ?? row.count]), [
		['skip', undefined, undefined, 2], ['same', 3, 3, 'one'], ['removed', 4, undefined, 'two'], ['added', undefined, 4, '2'], ['same', 5, 5, 'three'],
		['skip', undefined, undefined, 14], ['same', 20, 20, 'a'], ['added', undefined, 21, 'b'],
	]);
	assert.deepEqual(counted(rows), { added: 2, removed: 1 });
	assert.equal(parseDiff('an error'), null);
	assert.deepEqual(difference('a\nb\nc', 'a\nx\nc').map(row => row.kind), ['same', 'removed', 'added', 'same']);
	assert.deepEqual(created('a\nb\n').map(row => row.new), [1, 2]);
});

test('numbers in words', () => {
	assert.deepEqual([count(950), count(2600), count(128_000), count(1_200_000)], ['950', '2.6k', '128k', '1.2M']);
	assert.deepEqual([duration(4140), duration(12_900), duration(120_000), duration(136_000), duration(3_720_000)], ['4.1 s', '12 s', '2 m', '2 m 16 s', '1 h 2 m']);
	assert.deepEqual([dollars(0.03), dollars(0.0042), dollars(0)], ['$0.03', '$0.004', '$0']);
	const noon = new Date(2026, 5, 15, 12).getTime();
	assert.deepEqual([noon - 3_600_000, noon - 86_400_000, noon - 9e8].map(then => period(then, noon)), ['Today', 'Yesterday', 'Earlier']);
});
