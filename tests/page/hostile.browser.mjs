// Text that would like to be more: in answers, tool calls and their output, titles, file names and
// errors. It is shown, and does nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { house } from './house.mjs';

const IMAGE = '<img src=x onerror="window.hacked=1">';
const ALL = `${IMAGE}<svg onload=window.hacked=1><script>window.hacked=1</script>" onmouseover="window.hacked=1`;
const MARKDOWN = `${ALL}

[script](javascript:window.hacked=1) [data](data:text/html,<script>window.hacked=1</script>) [case](JaVaScRiPt:window.hacked=1) <javascript:window.hacked=1> [file](file:///etc/passwd)

![image](https://elsewhere.example/track.png) [good](https://good.example/" onmouseover=window.hacked=1) [quoted](https://good.example/ "" onmouseover=window.hacked=1")

# ${IMAGE}

| ${IMAGE} |
| --- |
| [x](javascript:window.hacked=1) ${IMAGE} |

\`\`\`${IMAGE}
${ALL}
\`\`\`

\`\`\`html
${ALL}
\`\`\`
`;

test('hostile text does nothing, wherever it stands', async t => {
	const name = `${IMAGE.replaceAll('/', '')}.txt`;
	const home = await house(t, { permission: { bash: { '*': 'ask' } }, files: { [name]: ALL } });
	home.model
		.on('evil', { reasoning: MARKDOWN, say: MARKDOWN, call: ['bash', { command: `echo '${IMAGE}' # ${ALL}` }] },
			{ call: ['edit_file', { path: name, old_string: '<svg', new_string: `<svg ${IMAGE}` }] },
			{ call: ['write_file', { path: 'new.html', content: ALL }] },
			{ call: ['read_file', { path: name }] },
			{ call: [ALL, { [ALL]: ALL }] },
			{ say: 'That was all.' })
		.on('worse', { status: 400, error: ALL });
	const page = await home.open();
	await page.ready();
	await page.ask(`evil ${ALL}`);
	await page.locator('.permission').waitFor();
	await page.page.waitForTimeout(350);
	await page.page.getByRole('button', { name: 'Always' }).click();
	await page.sees('That was all.');
	await page.ended();
	await page.locator('.tool-row[aria-expanded=false]').evaluateAll(rows => rows.forEach(row => row.click()));
	await page.locator('.reasoning summary').first().click();
	await page.ask('worse');
	await page.ended(2);
	await page.box.pressSequentially(' @img');
	await page.locator('.file', { hasText: 'onerror' }).waitFor();
	await page.page.keyboard.press('Escape');
	await page.page.keyboard.press('Control+k');
	await page.locator('.row', { hasText: 'evil' }).waitFor();
	await page.page.keyboard.press('Escape');

	// The pointer goes over everything that could listen to it.
	for (const node of await page.locator('.md :is(a, code, td, p), .tool-row, .error').all()) await node.dispatchEvent('mouseover');
	const found = await page.page.evaluate(() => ({
		hacked: window.hacked ?? null,
		made: document.querySelectorAll('#column :is(img, script, iframe, object, embed, form, style, link), #column svg:not(.icon)').length,
		listeners: [...document.querySelectorAll('#column *, #sidebar *')].flatMap(node => node.getAttributeNames()).filter(name => /^on|^style$/.test(name)),
		links: [...document.querySelectorAll('#column a')].map(a => [new URL(a.href).protocol, a.rel]),
	}));
	assert.equal(found.hacked, null);
	assert.equal(found.made, 0);
	assert.deepEqual(found.listeners, []);
	assert.ok(found.links.length > 0);
	for (const [protocol, rel] of found.links) assert.deepEqual([protocol, rel], ['https:', 'noopener noreferrer']);
	assert.match(await page.locator('#column').innerText(), /<script>window\.hacked=1<\/script>/, 'it is shown as text');
	home.assertQuiet();
});
