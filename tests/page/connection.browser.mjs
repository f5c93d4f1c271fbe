// A server that goes away in the middle of an answer: the page says so, keeps what was read, comes
// back by itself and says what became of the turn.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DESKTOP, PHONE, house } from './house.mjs';

for (const size of [DESKTOP, PHONE]) {
	test(`a server is killed in mid-answer and started again, at ${size.width} pixels`, async t => {
		const home = await house(t);
		const words = Array.from({ length: 200 }, (_, at) => `word${at}`).join(' ');
		home.model.on('long', { say: words, hold: 'never' });
		const page = await home.open({ size });
		await page.ready();
		await page.ask('a long answer');
		await page.sees('word199');

		const killed = Date.now();
		await home.kill();
		await page.says('Server gone; trying again');
		assert.ok(Date.now() - killed < 2000, `it was said after ${Date.now() - killed} ms`);
		assert.ok(await page.locator('#send').isDisabled());
		await page.box.fill('a draft');
		await page.assertAccessible('gone');

		await home.serve();
		const served = Date.now();
		await page.says('Back');
		assert.ok(Date.now() - served < 2000, `it was said after ${Date.now() - served} ms`);
		await page.sees('Server restarted: turn ended there');
		const answer = await page.locator('.turn').innerText();
		assert.match(answer, /word0 .*word199/, 'what was read is kept');
		const session = await (await fetch(`${home.url}/api/sessions/${new URL(page.page.url()).pathname.slice(3)}`)).json();
		const stored = session.messages[1].content;
		assert.equal(/Not stored/.test(answer), stored.trim() !== words, `the page says what is not stored of ${stored.length}`);
		assert.equal(await page.box.inputValue(), 'a draft');
		await page.assertAccessible('back');

		home.model.on('a draft', { say: 'It goes on.' });
		await page.locator('#send').click();
		await page.sees('It goes on.');
		home.assertQuiet();
	});
}

test('what was said while one was away is caught up', async t => {
	const home = await house(t);
	home.model.on('wait', { say: 'Before. ', hold: 'gate', then: 'And after it.' });
	const page = await home.open();
	await page.ready();
	await page.ask('wait for me');
	await page.sees('Before.');
	await page.page.context().setOffline(true);
	await page.says('Server gone');
	home.model.go('gate');
	const id = new URL(page.page.url()).pathname.slice(3);
	const isDone = async () => (await (await fetch(`${home.url}/api/sessions/${id}`)).json()).status === 'idle';
	while (!await isDone());
	await page.page.context().setOffline(false);
	await page.says('Back: 3 words caught up');
	assert.match(await page.locator('.turn').innerText(), /Before\. And after it\./);
	home.assertQuiet();
});
