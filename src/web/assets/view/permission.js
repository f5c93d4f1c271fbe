// A tool that waits for a person: the whole command, why it asks, what `always` covers. It has no
// default: Enter alone allows nothing.

import { el, sign } from '../dom.js';
import { difference } from '../diff.js';
import { parseInline } from '../inline.js';
import { inline } from '../render.js';
import { settings } from '../settings.js';
import { diffView } from './diff.js';

const DEAF_MS = 300;

const asks = { bash: 'run this command', edit_file: 'edit this file', write_file: 'write this file', read_file: 'read this file' };

export function permissionView(question, actions) {
	const shownAt = performance.now();
	let answered = false;
	const answer = reply => {
		if (answered || performance.now() - shownAt < DEAF_MS) return;
		if (!actions.answer(question, reply)) return;
		answered = true;
		node.classList.add('answered');
		for (const button of buttons) button.disabled = true;
	};
	const button = (key, label, reply, name) =>
		el(`button.${name}`, { onclick: () => answer(reply), 'data-reply': reply, 'aria-keyshortcuts': key },
			el('span', null, label), el('kbd', null, key.toUpperCase()));
	const covers = question.always ?? [];
	const buttons = [
		button('y', 'Allow once', 'once', 'primary'),
		covers.length ? button('a', 'Always', 'always', 'secondary') : null,
		button('n', 'Refuse', 'reject', 'secondary'),
	].filter(Boolean);
	const node = el('div.permission', {
		tabindex: '-1', role: 'group', 'aria-label': `Permission: ${question.tool} asks you`,
		onkeydown: event => {
			if (!settings.singleKeys || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
			const reply = { y: 'once', a: covers.length && 'always', n: 'reject' }[event.key.toLowerCase()];
			if (!reply) return;
			event.preventDefault();
			answer(reply);
		},
	},
	el('div.permission-head', null,
		sign('?'),
		el('strong', null, `May I ${asks[question.tool] ?? `use ${question.tool}`}?`),
		el('span.reason', null, inline(parseInline(question.reason ?? '')))),
	whatView(question),
	el('div.buttons', null, buttons),
	covers.length ? el('div.covers', null, 'Always allows, in this session: ', covers.map((pattern, at) => [at ? ', ' : '', el('code', null, pattern)]).flat()) : null);
	return { id: question.id, node };
}

function whatView({ tool, args }) {
	if (tool === 'bash') return el('pre.command', null, el('code', null, args.command ?? ''));
	if (tool === 'edit_file') {
		const rows = difference(args.old_string ?? '', args.new_string ?? '');
		return el('div', null, el('div.path', null, args.path + (args.replace_all ? ' (every place)' : '')), diffView(rows, args.path));
	}
	if (tool === 'write_file') {
		return el('div', null, el('div.path', null, args.path), el('pre.command', null, el('code', null, args.content ?? '')));
	}
	const one = Object.values(args);
	const text = one.length === 1 && typeof one[0] === 'string' ? one[0] : JSON.stringify(args, null, 2);
	return el('pre.command', null, el('code', null, text));
}
