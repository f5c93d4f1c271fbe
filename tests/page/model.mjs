// A model in the test's hands: Chat Completions, which answers each request as its script says and
// waits where it says so, until the test lets it go on.

import { createServer } from 'node:http';

export class Model {
	#scripts = [];
	#gates = new Map();

	// `steps` are the answers of one turn: `{ reasoning, say, hold, then, call, status, error }`. An
	// answer that holds says `say`, waits until `go(name)`, and says `then`.
	on(words, ...steps) {
		this.#scripts.unshift({ words, steps });
		return this;
	}

	go(name) {
		this.#gate(name).open();
	}

	// Resolves once an answer waits there.
	waits(name) {
		return this.#gate(name).reached;
	}

	#gate(name) {
		if (!this.#gates.has(name)) {
			const gate = {};
			gate.reached = new Promise(resolve => { gate.reach = resolve; });
			gate.opened = new Promise(resolve => { gate.open = resolve; });
			this.#gates.set(name, gate);
		}
		return this.#gates.get(name);
	}

	async start() {
		this.server = createServer((request, response) => this.#answer(request, response).catch(() => response.destroy()));
		await new Promise(resolve => this.server.listen(0, '127.0.0.1', resolve));
		this.url = `http://127.0.0.1:${this.server.address().port}/v1`;
		return this;
	}

	stop() {
		this.server.closeAllConnections();
		this.server.close();
	}

	async #answer(request, response) {
		let body = '';
		for await (const part of request) body += part;
		const { messages } = JSON.parse(body);
		const last = messages.findLastIndex(message => message.role === 'user');
		const asked = typeof messages[last].content === 'string' ? messages[last].content : messages[last].content[0].text;
		const number = messages.slice(last + 1).filter(message => message.role === 'assistant').length;
		const script = this.#scripts.find(({ words }) => asked.includes(words));
		const step = script?.steps[number] ?? { say: `You said: ${asked}` };
		if (step.status) {
			response.writeHead(step.status, { 'Content-Type': 'application/json' });
			response.end(JSON.stringify({ error: { message: step.error } }));
			return;
		}
		response.writeHead(200, { 'Content-Type': 'text/event-stream' });
		const send = (delta, finish = null, usage) =>
			response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }], usage })}\n\n`);
		if (step.reasoning) send({ reasoning_content: step.reasoning });
		for (const word of step.say?.match(/\S+\s*|\s+/g) ?? []) send({ content: word });
		if (step.hold) {
			const gate = this.#gate(step.hold);
			gate.reach();
			await gate.opened;
		}
		for (const word of step.then?.match(/\S+\s*|\s+/g) ?? []) send({ content: word });
		if (step.call) {
			const [name, args] = step.call;
			send({ tool_calls: [{ index: 0, id: `call_${number}`, type: 'function', function: { name, arguments: JSON.stringify(args) } }] });
		}
		send({}, step.call ? 'tool_calls' : 'stop', { prompt_tokens: 2418, completion_tokens: 182 });
		response.end('data: [DONE]\n\n');
	}
}
