// What the tests of the page stand on: the real program in a project of its own, a scripted model,
// and Chromium, in which nothing may be logged, fetched from elsewhere or hard to reach.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

import { Model } from './model.mjs';

const { OPENCODE_TEST_BINARY: binary, OPENCODE_TEST_PAGE: peers, OPENCODE_TEST_CHROMIUM: chromiumPath = '/usr/bin/chromium' } = process.env;
const fromPeers = createRequire(join(peers, 'page.cjs'));
const { chromium } = fromPeers('playwright-core');
const axe = await readFile(fromPeers.resolve('axe-core/axe.min.js'), 'utf8');

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };
// Other tests may have the machine at the same time.
const PATIENCE = 60_000;
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

const CACHE = `"""A small cache whose entries grow old."""
import time


class Cache:
    def __init__(self, ttl):
        self.ttl = ttl
        self.items = {}

    def get(self, key, default=None):
        value, stamp = self.items[key]
        if time.time() - stamp > self.ttl:
            del self.items[key]
            return None
        return value
`;

// A project, its server and a browser, all gone with the test.
export async function house(t, options = {}) {
	const made = new House(options);
	t.after(() => made.close());
	await made.begin();
	return made;
}

class House {
	#browser = null;
	#pages = [];
	#port = 0;

	constructor({ password = null, permission = {}, guide = false, args = [], files = {}, answers = 'scripted/m' }) {
		Object.assign(this, { password, permission, guide, args, files, answers, model: new Model() });
	}

	async begin() {
		this.folder = await mkdtemp(join(tmpdir(), 'opencode-page-'));
		this.project = join(this.folder, 'cache-demo');
		await this.model.start();
		const [provider, model] = this.answers.split('/');
		const config = this.guide ? { permission: this.permission } : {
			model: this.answers, permission: this.permission,
			provider: { [provider]: {
				npm: '@ai-sdk/openai-compatible', name: 'Scripted', options: { baseURL: this.model.url, apiKey: 'sk-test' },
				models: { [model]: { cost: { input: 3, output: 15 }, limit: { context: 128_000, output: 8000 } }, other: {} },
			} },
		};
		const files = { 'src/cache.py': CACHE, 'README.md': '# Demo\n', 'opencode.json': JSON.stringify(config), ...this.files };
		for (const [path, text] of Object.entries(files)) {
			await mkdir(dirname(join(this.project, path)), { recursive: true });
			await writeFile(join(this.project, path), text);
		}
		await this.serve();
	}

	// Starts the server, the second time on the port that it had.
	async serve() {
		const environment = {
			PATH: process.env.PATH, HOME: this.folder, OPENCODE_DATA_DIR: join(this.folder, 'data'), OLLAMA_HOST: 'http://127.0.0.1:1',
			...(this.password && { OPENCODE_SERVER_PASSWORD: this.password }),
		};
		this.server = spawn(binary, ['web', '--no-open', '--port', String(this.#port), ...this.args], {
			cwd: this.project, env: environment, stdio: ['ignore', 'pipe', 'pipe'],
		});
		this.log = '';
		this.server.stderr.on('data', data => { this.log += data; });
		const [line] = await Promise.race([
			once(createInterface(this.server.stdout), 'line'),
			once(this.server, 'exit').then(() => { throw new Error(`the server did not start: ${this.log}`); }),
		]);
		this.url = line.replace(/^.* on /, '').replace(/\/$/, '');
		this.#port = Number(new URL(this.url).port);
	}

	// Ends the server as a power cut would.
	async kill() {
		this.server.kill('SIGKILL');
		await once(this.server, 'exit');
	}

	async close() {
		await this.#browser?.close();
		if (this.server?.exitCode === null && this.server.signalCode === null) await this.kill();
		this.model.stop();
		await rm(this.folder, { recursive: true, force: true });
	}

	// A page of a browser of its own: cookies and storage are shared by pages of one `context`.
	async open({ size = DESKTOP, dark = false, path = '/', context = null } = {}) {
		this.#browser ??= await chromium.launch({ executablePath: chromiumPath, args: ['--no-sandbox'] });
		const isPhone = size.width < 600;
		const own = context ?? await this.#browser.newContext({
			viewport: size, colorScheme: dark ? 'dark' : 'light', hasTouch: isPhone, isMobile: isPhone, reducedMotion: 'reduce',
		});
		const page = await own.newPage();
		page.setDefaultTimeout(PATIENCE);
		const one = new Page(page, this, isPhone);
		this.#pages.push(one);
		await page.goto(this.url + path);
		return one;
	}

	// Nothing was logged and nothing asked for elsewhere, on any page.
	assertQuiet() {
		for (const page of this.#pages) assert.deepEqual(page.complaints, []);
	}
}

// What Chromium itself says of a server that is gone, and of a 401 before one has signed in.
const ALLOWED = /^Failed to load resource: (?:net::ERR_(?:CONNECTION|EMPTY|SOCKET|NETWORK|INTERNET|INVALID_HTTP|INCOMPLETE)|the server responded with a status of 401)|^WebSocket connection to .* failed/;

class Page {
	complaints = [];

	constructor(page, home, isPhone) {
		Object.assign(this, { page, home, isPhone });
		this.box = page.getByRole('textbox', { name: 'Message' });
		page.on('console', message => {
			if (['error', 'warning'].includes(message.type()) && !ALLOWED.test(message.text())) this.complaints.push(message.text());
		});
		page.on('pageerror', error => this.complaints.push(error.stack));
		page.on('request', request => {
			const { origin, protocol } = new URL(request.url());
			if (origin !== home.url && protocol !== 'data:') this.complaints.push(`asked for ${request.url()}`);
		});
		page.on('websocket', socket => {
			if (new URL(socket.url()).host !== new URL(home.url).host) this.complaints.push(`connected to ${socket.url()}`);
		});
	}

	locator(selector, options) {
		return this.page.locator(selector, options);
	}

	// The page is there and connected.
	ready() {
		return this.page.waitForSelector('#link[data-state=online]', { state: 'attached' });
	}

	async signIn(password) {
		await this.page.getByLabel('Password').fill(password);
		await this.page.getByRole('button', { name: 'Sign in' }).click();
	}

	async ask(text) {
		await this.box.fill(text);
		// On a phone Enter begins a line.
		if (this.isPhone) await this.page.locator('#send').click();
		else await this.box.press('Enter');
	}

	// Waits for words somewhere in the conversation.
	sees(words) {
		return this.page.getByText(words).last().waitFor();
	}

	// Waits until no turn runs, and so many have ended.
	ended(turns = 1) {
		return this.page.waitForFunction(count => document.querySelectorAll('.turn .figures').length >= count && !document.querySelector('.turn.running'), turns);
	}

	state() {
		return this.page.locator('#state');
	}

	// Waits until the line above the box says so.
	says(words) {
		return this.state().filter({ hasText: words }).waitFor();
	}

	// Presses a key until the question takes it, which is deaf for its first moment.
	async answers(key) {
		const question = this.locator('.permission:not(.answered)');
		while (await question.count()) {
			await this.page.keyboard.press(key);
			await question.waitFor({ state: 'detached', timeout: 100 }).catch(() => {});
		}
	}

	async assertAccessible(where) {
		await this.page.evaluate(axe);
		const { violations } = await this.page.evaluate(rules => window.axe.run(document, { runOnly: rules }), RULES);
		const told = violations.map(one => `${one.id}: ${one.nodes.map(node => node.target).join(', ')}`);
		assert.deepEqual(told, [], where);
	}

	async assertFits(where) {
		const wide = await this.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
		assert.ok(wide <= 0, `${where} is ${wide} pixels too wide`);
	}
}
