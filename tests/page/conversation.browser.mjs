// A conversation as a person has it: sign in, ask, read what streams, look at tools and diffs,
// answer a question, stop, reload; on a desktop and a phone, light and dark.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DESKTOP, PHONE, house } from './house.mjs';

const OLD = '        value, stamp = self.items[key]\n        if time.time() - stamp > self.ttl:\n';
const NEW = '        entry = self.items.get(key)\n        if entry is None:\n            return default\n        value, stamp = entry\n        if time.monotonic() - stamp > self.ttl:\n';
const MARKDOWN = `# A cache

It keeps **bold** and \`code\`, see [the docs](https://docs.python.org/3/).

1. one
   - nested
2. two

| method | cost |
| --- | ---: |
| \`get\` | O(1) |

\`\`\`python
def get(self): return None  # nothing
\`\`\`

- [x] done
- [ ] to do

> quoted

`;

for (const size of [DESKTOP, PHONE]) {
	for (const dark of [false, true]) {
		test(`a conversation at ${size.width} pixels, ${dark ? 'dark' : 'light'}`, async t => {
			const home = await house(t, { password: 'two words', permission: { bash: { '*': 'ask' } } });
			home.model
				.on('explain', { reasoning: 'They want it explained.', say: MARKDOWN, hold: 'middle', then: 'And that is **all** of it.' })
				.on('tidy', { say: 'Let me look.', call: ['read_file', { path: 'src/cache.py' }] },
					{ call: ['edit_file', { path: 'src/cache.py', old_string: OLD, new_string: NEW }] },
					{ call: ['bash', { command: 'echo "checked it"; true' }] },
					{ say: 'It is tidy now.' })
				.on('anew', { call: ['write_file', { path: 'notes.txt', content: 'one\ntwo\n' }] },
					{ call: ['write_file', { path: 'notes.txt', content: 'one\n2\n' }] }, { say: 'Written.' })
				.on('dream', { say: 'Once upon', hold: 'dream' });
			const page = await home.open({ size, dark });

			await page.signIn('wrong');
			await page.sees('User or password is wrong.');
			await page.assertAccessible('sign-in');
			await page.signIn('two words');
			await page.ready();
			await page.sees('What shall we do in cache-demo?');
			await page.assertAccessible('empty');
			await page.assertFits('empty');

			// The text is there while it is written, formatted, and the end comes after it.
			await page.ask('explain the cache');
			await home.model.waits('middle');
			await page.locator('.md h2', { hasText: 'A cache' }).waitFor();
			await page.says('Esc stops');
			assert.equal(await page.locator('.md td.right').innerText(), 'O(1)');
			assert.equal(await page.locator('.md .keyword').first().innerText(), 'def');
			assert.equal(await page.locator('#send').innerText(), 'Stop');
			assert.equal(await page.locator('.turn .figures').count(), 0);
			home.model.go('middle');
			await page.ended();
			assert.match(await page.locator('.turn').last().innerText(), /And that is all of it\.\s+[\d.]+ s · 2\.4k in, 182 out · \$0\.01 · scripted\/m/);
			assert.equal(await page.locator('.reasoning[open]').count(), 0);
			await page.locator('.reasoning summary').click();
			await page.sees('They want it explained.');
			await page.locator('.reasoning summary').click();
			await page.assertAccessible('answer');

			// Tools, a diff, and a question that Enter alone does not answer.
			await page.ask('tidy it');
			const question = page.locator('.permission');
			await question.waitFor();
			assert.match(await question.innerText(), /echo "checked it"; true/);
			await page.says('asks you');
			await page.page.waitForFunction(() => document.activeElement.matches('.permission'));
			await page.page.keyboard.press('Enter');
			assert.equal(await question.count(), 1);
			await page.assertAccessible('question');
			await page.assertFits('question');
			const added = page.locator('.diff tr.added');
			assert.equal(await added.count(), 5);
			assert.deepEqual(await added.first().locator('td').allInnerTexts(), ['', '11', '+', '        entry = self.items.get(key)']);
			const removed = page.locator('.diff tr.removed').first();
			assert.deepEqual(await removed.locator('td').allInnerTexts(), ['11', '', '−', '        value, stamp = self.items[key]']);
			await page.page.waitForFunction(() => document.activeElement.matches('.permission'));
			await page.answers('y');
			await page.ended(2);
			assert.equal(await question.count(), 0);
			const bash = page.locator('.tool', { hasText: 'bash' });
			assert.match(await bash.innerText(), /checked it/);
			await bash.locator('.tool-row').click();
			assert.match(await bash.locator('.tool-detail').innerText(), /Command[\s\S]*Output[\s\S]*checked it/);
			await page.assertAccessible('tools');
			await bash.locator('.tool-row').click();

			// A new file is told as one, and one that is written over shows what it was.
			await page.ask('write it anew');
			await page.ended(3);
			const written = page.locator('.tool', { hasText: 'notes.txt' });
			assert.match(await written.first().locator('.measure').innerText(), /new\s*\+2/);
			assert.equal(await written.first().locator('.diff').count(), 0);
			assert.match(await written.last().locator('.measure').innerText(), /^\+1\s*−1$/);
			assert.deepEqual(await written.last().locator('.diff .text').allInnerTexts(), ['one', 'two', '2']);

			// What is stopped keeps what it had.
			await page.ask('dream on');
			await home.model.waits('dream');
			await page.sees('Once upon');
			await page.page.keyboard.press('Escape');
			await page.ended(4);
			await page.sees('Stopped. What was written is kept.');

			// All of it is there again.
			const before = await page.locator('#column').innerText();
			await page.page.reload();
			await page.ended(4);
			assert.equal(await page.locator('#column').innerText(), before);
			await page.assertFits('conversation');
			await page.assertAccessible('reloaded');
			home.assertQuiet();
		});
	}
}

test('an error stands at its turn in the provider’s words, and is tried again', async t => {
	const home = await house(t);
	home.model.on('please', { status: 400, error: 'You asked for too much.' });
	const page = await home.open();
	await page.ready();
	await page.ask('please');
	await page.sees('You asked for too much.');
	home.model.on('please', { say: 'Very well.' });
	await page.page.getByRole('button', { name: 'Retry' }).click();
	await page.sees('Very well.');
	assert.equal(await page.locator('.turn .error').count(), 1);
	home.assertQuiet();
});

test('a question is refused, and the model goes on', async t => {
	const home = await house(t, { permission: { bash: { '*': 'ask' } } });
	home.model.on('disk', { call: ['bash', { command: 'df -h / && du -sh .' }] }, { say: 'Then not.' });
	const page = await home.open();
	await page.ready();
	await page.ask('disk');
	await page.locator('.permission').waitFor();
	assert.match(await page.locator('.covers').innerText(), /df \*.*du \*/);
	// Keys count from 300 ms on; before that they are for something else.
	await page.page.waitForTimeout(350);
	await page.page.getByRole('button', { name: 'Refuse' }).click();
	await page.sees('Then not.');
	assert.match(await page.locator('.tool').innerText(), /Refused: the person said no/);
	home.assertQuiet();
});

test('a draft keeps the focus when a question comes', async t => {
	const home = await house(t, { permission: { bash: { '*': 'ask' } } });
	home.model.on('later', { say: 'Soon.', hold: 'gate', call: ['bash', { command: 'true' }] }, { say: 'Done.' });
	const page = await home.open();
	await page.ready();
	await page.ask('later');
	await home.model.waits('gate');
	await page.box.pressSequentially('y is what I was ty');
	home.model.go('gate');
	await page.locator('.permission').waitFor();
	await page.box.pressSequentially('ping');
	assert.equal(await page.box.inputValue(), 'y is what I was typing');
	await page.page.keyboard.press('Alt+y');
	await page.page.waitForFunction(() => document.activeElement.matches('.permission'));
	await page.page.waitForTimeout(350);
	await page.answers('n');
	await page.ended();
	home.assertQuiet();
});
