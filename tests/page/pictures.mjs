// Takes the pictures of the page that the documents show: a conversation as one would have it.

import { join } from 'node:path';
import { test } from 'node:test';

import { PHONE, house } from './house.mjs';

const WINDOW = { width: 1280, height: 900 };
const folder = process.env.OPENCODE_PICTURES;
const OLD = '        value, stamp = self.items[key]\n        if time.time() - stamp > self.ttl:\n            del self.items[key]\n            return None\n';
const NEW = '        entry = self.items.get(key)\n        if entry is None:\n            return default\n        value, stamp = entry\n        if time.monotonic() - stamp > self.ttl:\n            del self.items[key]\n            return default\n';

test('pictures', async t => {
	const home = await house(t, { permission: { bash: { '*': 'allow', 'df *': 'ask', 'du *': 'ask', 'sort *': 'ask' } }, answers: 'openrouter/qwen3-coder', files: { 'check.sh': 'sleep 1.2\necho "3 passed in 1.2 s"\n' } });
	home.model
		.on('tidy', { reasoning: 'Read first, then edit.', say: 'Let me look at the file first.', call: ['read_file', { path: 'src/cache.py' }] },
			{ call: ['edit_file', { path: 'src/cache.py', old_string: OLD, new_string: NEW }] },
			{ call: ['bash', { command: 'sh check.sh' }] },
			{ say: 'Done. `get` returns the **default** for a missing key, and a clock that is set back no longer keeps entries alive.\n' })
		.on('disk', { say: 'I will ask the system.', call: ['bash', { command: 'df -h / && du -sh . | sort -h' }] }, { say: 'Half of it.' })
		.on('notes', { say: '## Field notes\n\nThe river was', hold: 'never' });
	const page = await home.open();
	await page.ready();
	for (const [words, wait] of [
		['which tests cover the cache?', () => page.ended()],
		['write the field notes', () => page.sees('The river was')],
		['how much disk is free?', () => page.locator('.permission').waitFor()],
		['tidy src/cache.py: a missing key must not raise', () => page.sees('Done.')],
	]) {
		await page.page.keyboard.press('Alt+n');
		await page.ask(words);
		await wait();
	}
	await page.ended();
	const { pathname } = new URL(page.page.url());
	const take = async (name, options) => {
		const one = await home.open({ path: pathname, ...options });
		await one.ready();
		await one.ended();
		await one.page.evaluate(() => document.activeElement.blur());
		await one.page.screenshot({ path: join(folder, name) });
	};
	await take('page-light.png', { size: WINDOW });
	await take('page-dark.png', { size: WINDOW, dark: true });
	await take('page-phone.png', { size: PHONE });
});
