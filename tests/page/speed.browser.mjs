// Long histories and long answers: what is on the page does not grow with what was ever said, and
// what is finished is not touched again.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { house } from './house.mjs';

test('older messages come as one reads up, and the place is kept', async t => {
	const home = await house(t);
	home.model.on('number', { say: 'Answer. '.repeat(40) });
	const id = await chats(home, 60);
	const page = await home.open({ path: `/s/${id}` });
	await page.ended(25);
	assert.equal(await page.locator('article').count(), 50, 'the newest page alone');
	const scroll = page.locator('#scroll');
	assert.ok(await scroll.evaluate(node => node.scrollHeight - node.scrollTop - node.clientHeight < 2), 'it begins at the end');
	const first = page.locator('article').first();
	await first.evaluate(node => { node.dataset.seen = 'yes'; });
	// Reading up by keyboard, until what was first has something above it.
	await scroll.focus();
	await page.page.keyboard.press('Home');
	await page.page.waitForFunction(() => document.querySelectorAll('article').length > 50);
	const place = () => page.locator('[data-seen]').evaluate(node => node.getBoundingClientRect().top);
	const top = await place();
	assert.ok(top > -200 && top < 400, `what was read is still in view, at ${top}`);
	await page.page.keyboard.press('Home');
	await page.page.waitForFunction(() => document.querySelectorAll('article').length === 120);
	await page.page.keyboard.press('End');
	await page.locator('#latest').waitFor({ state: 'hidden' });
	home.assertQuiet();
});

test('a growing answer leaves its finished blocks alone', async t => {
	const home = await house(t);
	const part = (_, at) => `## Part ${at}\n\nSome **words** of part ${at}.\n\n- one\n- two\n\n`;
	home.model.on('write', { say: Array.from({ length: 60 }, part).join(''), hold: 'half', then: Array.from({ length: 60 }, part).join('') });
	const page = await home.open();
	await page.ready();
	await page.ask('write');
	await home.model.waits('half');
	await page.page.waitForFunction(() => document.querySelectorAll('.md > h3').length === 60);
	await page.page.evaluate(() => {
		window.touched = 0;
		const frozen = new Set([...document.querySelector('.md').children].slice(0, -1));
		new MutationObserver(records => {
			for (const { target } of records) for (const block of frozen) if (block.contains(target)) window.touched += 1;
		}).observe(document.querySelector('.md'), { subtree: true, childList: true, characterData: true, attributes: true });
	});
	home.model.go('half');
	await page.ended();
	assert.equal(await page.locator('.md > h3').count(), 120);
	assert.equal(await page.page.evaluate(() => window.touched), 0);
	home.assertQuiet();
});

test('who reads above is not moved, and is told how much is new', async t => {
	const home = await house(t);
	home.model.on('write', { say: 'Paragraph.\n\n'.repeat(60), hold: 'half', then: 'More.\n\n'.repeat(7) });
	const page = await home.open();
	await page.ready();
	await page.ask('write');
	await home.model.waits('half');
	await page.page.waitForFunction(() => document.querySelectorAll('.md > p').length === 60);
	const scroll = page.locator('#scroll');
	await scroll.evaluate(node => { node.scrollTop = 100; });
	await page.locator('#latest').waitFor();
	home.model.go('half');
	await page.ended();
	assert.equal(await scroll.evaluate(node => node.scrollTop), 100);
	assert.equal(await page.locator('#latest').innerText(), '7 new');
	await page.locator('#latest').click();
	await page.locator('#latest').waitFor({ state: 'hidden' });
	home.assertQuiet();
});

// A session of so many turns.
async function chats(home, turns) {
	let sessionId = null;
	for (let turn = 0; turn < turns; turn += 1) {
		const answer = await fetch(`${home.url}/api/chat`, {
			method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ message: `number ${turn}`, sessionId }),
		});
		({ sessionId } = await answer.json());
	}
	return sessionId;
}
