// Sessions: addresses, tabs in step, search, names, deletion with undo, drafts, choosing.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { house } from './house.mjs';

test('two tabs are in step, and an address leads to its session', async t => {
	const home = await house(t);
	home.model.on('together', { say: 'One two ', hold: 'gate', then: 'three.' });
	const first = await home.open();
	await first.ready();
	await first.ask('write together');
	await first.sees('One two');
	const { pathname } = new URL(first.page.url());
	assert.match(pathname, /^\/s\/[0-9a-z]{20,}$/);
	const second = await home.open({ path: pathname, context: first.page.context() });
	await second.sees('One two');
	home.model.go('gate');
	await second.sees('One two three.');
	await first.sees('One two three.');
	await second.ended();
	await second.ask('and back');
	await first.sees('You said: and back');
	await first.ended(2);
	assert.equal(await first.locator('article').count(), 4);
	assert.equal(await second.locator('article').count(), 4);
	home.assertQuiet();
});

test('a session is renamed, found, deleted and had back', async t => {
	const home = await house(t);
	const page = await home.open();
	await page.ready();
	for (const words of ['apples', 'pears', 'plums']) {
		await page.page.keyboard.press('Alt+n');
		await page.ask(words);
		await page.sees(`You said: ${words}`);
		await page.ended();
	}
	const rows = page.locator('.session a');
	assert.equal(await rows.count(), 3);
	await page.locator('#more').click();
	await page.page.getByRole('button', { name: 'Rename' }).click();
	await page.page.getByLabel('Title').fill('Quinces');
	await page.page.keyboard.press('Enter');
	await page.locator('h1', { hasText: 'Quinces' }).waitFor();

	await page.page.getByLabel('Search sessions').fill('pear');
	assert.deepEqual(await rows.locator('.title').allInnerTexts(), ['pears']);
	await page.page.getByLabel('Search sessions').fill('');

	await page.locator('#more').click();
	await page.page.getByRole('button', { name: 'Delete' }).click();
	await page.sees('Deleted “Quinces”');
	assert.equal(await rows.count(), 2);
	assert.match(await page.page.evaluate(() => document.activeElement.textContent), /pears/, 'the focus goes to the next');
	await page.page.getByRole('button', { name: 'Undo' }).click();
	await page.locator('h1', { hasText: 'Quinces' }).waitFor();
	assert.equal(await rows.count(), 3);

	await page.locator('#more').click();
	await page.page.getByRole('button', { name: 'Delete' }).click();
	await page.page.reload();
	await page.ready();
	await rows.first().waitFor();
	const left = await (await fetch(`${home.url}/api/sessions`)).json();
	assert.deepEqual(left.map(session => session.title).sort(), ['apples', 'pears'], 'who leaves does not want it back');

	await page.page.keyboard.press('Control+k');
	await page.page.keyboard.type('apples');
	await page.page.keyboard.press('Enter');
	await page.sees('You said: apples');
	await page.page.goBack();
	await page.page.waitForFunction(() => !document.querySelector('h1').textContent.includes('apples'));
	home.assertQuiet();
});

test('drafts and earlier prompts are kept, and files are completed', async t => {
	const home = await house(t, { files: { 'notes one.txt': 'x\n' } });
	const page = await home.open();
	await page.ready();
	await page.ask('first words');
	await page.ended();
	await page.box.fill('half a thou');
	await page.page.keyboard.press('Alt+n');
	assert.equal(await page.box.inputValue(), '');
	await page.page.keyboard.press('ArrowUp');
	assert.equal(await page.box.inputValue(), 'first words');
	await page.page.keyboard.press('ArrowDown');
	await page.page.keyboard.press('Alt+ArrowDown');
	await page.sees('You said: first words');
	assert.equal(await page.box.inputValue(), 'half a thou');
	await page.page.reload();
	await page.ready();
	assert.equal(await page.box.inputValue(), 'half a thou');
	await page.box.fill('');
	await page.box.pressSequentially('look at @cach');
	await page.locator('.file', { hasText: 'src/cache.py' }).waitFor();
	await page.page.keyboard.press('Tab');
	assert.equal(await page.box.inputValue(), 'look at @src/cache.py ');
	for (const typed of ['look at @note', 'look at @"notes o']) {
		await page.box.fill('');
		await page.box.pressSequentially(typed);
		await page.locator('.file', { hasText: 'notes one.txt' }).waitFor();
		await page.page.keyboard.press('Tab');
		assert.equal(await page.box.inputValue(), 'look at @"notes one.txt" ');
	}
	home.assertQuiet();
});

test('what is being written outlives a session that is deleted elsewhere', async t => {
	const home = await house(t);
	const page = await home.open();
	await page.ready();
	await page.ask('first words');
	await page.ended();
	const { pathname } = new URL(page.page.url());
	await page.box.fill('a thought that took long');
	const deleted = await fetch(`${home.url}/api/sessions/${pathname.split('/').pop()}`, { method: 'DELETE' });
	assert.equal(deleted.status, 204);
	await page.sees('What you were writing is kept.');
	assert.equal(new URL(page.page.url()).pathname, '/');
	assert.equal(await page.box.inputValue(), 'a thought that took long');
	await page.page.reload();
	await page.ready();
	assert.equal(await page.box.inputValue(), 'a thought that took long');
	home.assertQuiet();
});

test('agent and model are chosen, and what has no key says what to set', async t => {
	const home = await house(t);
	const page = await home.open();
	await page.ready();
	await page.page.keyboard.press('Alt+m');
	await page.locator('.row', { hasText: 'set ANTHROPIC_API_KEY' }).first().waitFor();
	await page.assertAccessible('models');
	await page.page.keyboard.type('other');
	await page.page.keyboard.press('Enter');
	assert.match(await page.locator('#model').innerText(), /scripted\/other/);
	await page.page.keyboard.press('Alt+a');
	await page.page.keyboard.type('plan');
	await page.page.keyboard.press('Enter');
	await page.ask('hello');
	await page.ended();
	assert.match(await page.locator('.figures').innerText(), /scripted\/other/);
	const [session] = await (await fetch(`${home.url}/api/sessions`)).json();
	assert.deepEqual([session.agent, session.model], ['plan', 'scripted/other']);
	home.assertQuiet();
});

test('keys are listed, and the single ones can be turned off', async t => {
	const home = await house(t);
	const page = await home.open();
	await page.ready();
	await page.box.fill('what is ?');
	await page.locator('#scroll').focus();
	await page.page.keyboard.press('?');
	await page.sees('find sessions and commands');
	await page.assertAccessible('keys');
	await page.page.getByLabel('Single-key').uncheck();
	await page.page.keyboard.press('Escape');
	await page.locator('#scroll').focus();
	await page.page.keyboard.press('?');
	assert.equal(await page.locator('dialog').count(), 0);
	assert.equal(await page.box.inputValue(), 'what is ?');
	home.assertQuiet();
});

test('colours are chosen and kept', async t => {
	const home = await house(t);
	const page = await home.open();
	await page.ready();
	const ground = () => page.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
	const light = await ground();
	const button = page.page.getByRole('button', { name: 'Change light and dark' });
	await button.click();
	assert.equal(await ground(), light);
	await button.click();
	const dark = await ground();
	assert.notEqual(dark, light);
	await page.page.reload();
	await page.ready();
	assert.equal(await ground(), dark);
	home.assertQuiet();
});

test('behind a base path, with a session’s address', async t => {
	const home = await house(t, { args: ['--base-path', '/tools/code'], password: 'secret words' });
	home.url = new URL(home.url).origin;
	const page = await home.open({ path: '/tools/code' });
	await page.signIn('secret words');
	await page.ready();
	await page.ask('over there');
	await page.sees('You said: over there');
	assert.match(new URL(page.page.url()).pathname, /^\/tools\/code\/s\/[0-9a-z]+$/);
	await page.page.reload();
	await page.sees('You said: over there');
	await page.page.getByRole('button', { name: 'Sign out' }).click();
	await page.page.getByLabel('Password').waitFor();
	home.assertQuiet();
});

test('the three prompts of a newcomer work with the offline guide', async t => {
	const home = await house(t, { guide: true, files: { 'src/a.py': '# TODO: sleep\n' } });
	const page = await home.open();
	await page.ready();
	await page.sees('No model is set up yet');
	for (const [prompt, answer] of [['list files', 'These are the files'], ['read the file README.md', 'Here is README.md'], ['search for TODO', 'This is where I found']]) {
		await page.page.keyboard.press('Alt+n');
		await page.page.getByRole('button', { name: prompt }).click();
		await page.sees(answer);
		await page.ended();
		assert.equal(await page.locator('.tool[data-state=completed]').count(), 1);
	}
	home.assertQuiet();
});
