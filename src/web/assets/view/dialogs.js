// Small dialogs: signing in, renaming, keys, a menu.

import { el, setText } from '../dom.js';
import { request } from '../net.js';
import { settings } from '../settings.js';
import { open } from './chooser.js';

export function signIn() {
	if (document.querySelector('dialog.signin')) return Promise.resolve();
	return new Promise(resolve => {
		const user = el('input', { name: 'username', autocomplete: 'username', value: 'opencode', required: true, spellcheck: 'false', autocapitalize: 'none' });
		const password = el('input', { name: 'password', type: 'password', autocomplete: 'current-password', required: true });
		const problem = el('p.problem', { role: 'alert' });
		const button = el('button.primary', { type: 'submit' }, 'Sign in');
		const form = el('form', { onsubmit: async event => {
			event.preventDefault();
			button.disabled = true;
			setText(problem, '');
			try {
				await request('POST', 'api/login', { username: user.value, password: password.value });
				dialog.close();
				resolve();
			} catch (error) {
				setText(problem, error.status === 401 ? 'User or password is wrong.' : error.message);
				password.select();
			}
			button.disabled = false;
		} },
		el('h2', null, 'Sign in to opencode'),
		el('p', null, 'This server has a password: the one in ', el('code', null, 'OPENCODE_SERVER_PASSWORD'), ' where it was started.'),
		el('label', null, el('span', null, 'User'), user),
		el('label', null, el('span', null, 'Password'), password),
		problem, button);
		const dialog = el('dialog.signin', { 'aria-label': 'Sign in' }, form);
		open(dialog, { closable: false });
		password.focus();
	});
}

export function askTitle(title, done) {
	const field = el('input', { value: title, maxlength: '240', 'aria-label': 'Title', required: true });
	const problem = el('p.problem', { role: 'alert' });
	const form = el('form', { onsubmit: async event => {
		event.preventDefault();
		try {
			await done(field.value.trim());
			dialog.close();
		} catch (error) {
			setText(problem, error.message);
		}
	} },
	el('h2', null, 'Rename session'), field, problem,
	el('button.primary', { type: 'submit' }, 'Rename'));
	const dialog = el('dialog.small-dialog', { 'aria-label': 'Rename session' }, form);
	open(dialog);
	field.select();
}

export function menu(anchor, items) {
	const buttons = items.map(item => el(`button.menu-item${item.danger ? '.danger' : ''}`, { onclick: () => {
		dialog.close();
		item.run();
	} }, el('span', null, item.label), item.keys ? el('kbd', null, item.keys) : null));
	const dialog = el('dialog.menu', { 'aria-label': 'Session' }, buttons);
	open(dialog);
	const box = anchor.getBoundingClientRect();
	const { width, height } = dialog.getBoundingClientRect();
	dialog.style.left = `${Math.max(8, Math.min(box.left, innerWidth - width - 8))}px`;
	dialog.style.top = `${box.bottom + height + 8 > innerHeight ? Math.max(8, box.top - height - 4) : box.bottom + 4}px`;
	buttons[0].focus();
}

const MOD = /Mac|iPhone|iPad/.test(navigator.platform) ? '⌘' : 'Ctrl';
export const KEYS = [
	['Write', [['Enter', 'send'], ['Shift Enter', 'new line'], ['↑', 'in an empty box: what you asked before'], ['@', 'name a file'], ['Esc', 'close what is open, else stop the answer']]],
	['Go', [[`${MOD} K`, 'find sessions and commands'], ['Alt N', 'new session'], ['Alt ↑ ↓', 'previous, next session'], ['Alt M', 'choose the model'], ['Alt A', 'choose the agent'], ['Alt Y', 'to the question that waits']]],
	['Single keys', [['Y  A  N', 'at a question: once, always, refuse'], ['?', 'these keys']]],
];

export function showKeys() {
	const single = el('input', { type: 'checkbox', role: 'switch', onchange: () => settings.setSingleKeys(single.checked) });
	single.checked = settings.singleKeys;
	const dialog = el('dialog.keys', { 'aria-label': 'Keys' },
		el('h2', null, 'Keys'),
		el('div.key-groups', null, KEYS.map(([name, keys]) => el('section', null, el('h3', null, name), el('dl', null, keys.flatMap(([key, what]) =>
			[el('dt', null, key.split(/ +/).map(one => el('kbd', null, one))), el('dd', null, what)]))))),
		el('label.switch', null, single, el('span', null, 'Single-key shortcuts are on')),
		el('button.primary.close', { onclick: () => dialog.close(), autofocus: true }, 'Close'));
	open(dialog);
}
