// Another page in the person's browser: what it can do to the server, tried in a real one.
//
// Prints the two origins its pages have, `listed` and `other`, as a line of JSON; reads a line with
// the addresses of a server that is open and one that has a password; prints what each page could.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const { chromium } = createRequire(`${process.env.OPENCODE_TEST_PAGE}/`)('playwright-core');

const page = '<!doctype html><meta charset="utf-8"><title>another page</title>';
const site = () => new Promise(resolve => {
	const server = createServer((_, answer) => answer.setHeader('Content-Type', 'text/html').end(page));
	server.listen(0, '127.0.0.1', () => resolve(server));
});
const sites = [await site(), await site()];
const [listed, other] = sites.map(server => `http://127.0.0.1:${server.address().port}`);
console.log(JSON.stringify({ listed, other }));

const line = await new Promise(resolve => createInterface({ input: process.stdin }).once('line', resolve));
const { open, locked, password } = JSON.parse(line);

const browser = await chromium.launch({
	executablePath: process.env.OPENCODE_TEST_CHROMIUM,
	args: ['--no-sandbox', '--host-resolver-rules=MAP rebound.example 127.0.0.1'],
});

// Runs in the page: everything that a page can try, and what came of it.
const attempts = async ({ server, name }) => {
	const ask = { message: `run \`touch ${name}-$RANDOM\`` };
	const json = { 'Content-Type': 'application/json' };
	const within = promise => Promise.race([
		promise.catch(() => 'nothing'),
		new Promise(resolve => setTimeout(resolve, 5000, 'nothing')),
	]);
	const read = async (path, how) => {
		const answer = await fetch(server + path, how);
		return answer.ok ? 'read' : `refused ${answer.status}`;
	};
	const post = (body, headers, more) => read('/api/chat', { method: 'POST', body: JSON.stringify(body), headers, ...more });
	const socket = () => new Promise(resolve => {
		const ws = new WebSocket(server.replace('http', 'ws') + '/ws');
		ws.onopen = () => ws.send(JSON.stringify({ type: 'chat', ...ask }));
		ws.onmessage = () => resolve('read');
		ws.onerror = () => resolve('nothing');
	});
	const element = (tag, set) => new Promise(resolve => {
		const node = Object.assign(document.createElement(tag), set);
		node.onload = () => resolve('loaded');
		node.onerror = () => resolve('nothing');
		document.body.append(node);
	});
	const form = () => new Promise(resolve => {
		const frame = Object.assign(document.createElement('iframe'), { name: 'sink' });
		frame.onload = () => { try { resolve(frame.contentDocument?.body.innerText ? 'read' : 'nothing'); } catch { resolve('nothing'); } };
		const node = Object.assign(document.createElement('form'), { method: 'post', enctype: 'text/plain', action: `${server}/api/chat`, target: 'sink' });
		node.append(Object.assign(document.createElement('input'), { name: '{"message":"run `touch form`","x":"', value: '"}' }));
		document.body.append(frame, node);
		node.submit();
	});
	return {
		get: await within(read('/api/status')),
		cookies: await within(read('/api/status', { credentials: 'include' })),
		json: await within(post(ask, json)),
		plain: await within(post(ask, { 'Content-Type': 'text/plain' })),
		blind: await within(fetch(`${server}/api/chat`, { method: 'POST', mode: 'no-cors', body: JSON.stringify(ask) }).then(answer => answer.type === 'opaque' ? 'nothing' : 'read')),
		remove: await within(read('/api/sessions/x', { method: 'DELETE' })),
		beacon: (navigator.sendBeacon(`${server}/api/chat`, JSON.stringify(ask)), 'nothing'),
		form: await within(form()),
		script: await within(element('script', { src: `${server}/api/status` })),
		socket: await within(socket()),
	};
};

// Signs in as the server's own page does, and uses the cookie.
const signedIn = async ({ server, password }) => {
	const json = { 'Content-Type': 'application/json' };
	const all = { credentials: 'include' };
	const login = await fetch(`${server}/api/login`, { method: 'POST', headers: json, body: JSON.stringify({ password }), ...all });
	const chat = await fetch(`${server}/api/chat`, { method: 'POST', headers: json, body: '{"message":"hello"}', ...all });
	const basic = await fetch(`${server}/api/status`, { headers: { Authorization: `Basic ${btoa(`opencode:${password}`)}` } });
	const socket = await new Promise(resolve => {
		const ws = new WebSocket(server.replace('http', 'ws') + '/ws');
		ws.onopen = () => ws.send('{"type":"ping"}');
		ws.onmessage = event => resolve(JSON.parse(event.data).type);
		ws.onerror = () => resolve('nothing');
	});
	return { login: login.status, chat: (await chat.json()).finishReason, basic: basic.status, socket };
};

try {
	const told = {};
	const visit = async (name, address, run, given) => {
		const context = await browser.newContext();
		const tab = await context.newPage();
		// A rebound name served this page before it led here.
		await tab.route('http://rebound.example:*/', route => route.fulfill({ contentType: 'text/html', body: page }));
		await tab.goto(address);
		told[name] = await tab.evaluate(run, given);
		await context.close();
	};
	const rebound = open.replace('127.0.0.1', 'rebound.example');
	await visit('other', `${other}/`, attempts, { server: open, name: 'other' });
	await visit('otherLocked', `${other}/`, attempts, { server: locked, name: 'locked' });
	await visit('rebound', `${rebound}/`, attempts, { server: rebound, name: 'rebound' });
	await visit('listed', `${listed}/`, attempts, { server: open, name: 'listed' });
	await visit('signedIn', `${listed}/`, signedIn, { server: locked, password });
	console.log(JSON.stringify(told));
} finally {
	await browser.close();
	for (const server of sites) server.close();
	process.stdin.destroy();
}
