// A list to choose from with a field that narrows it: the palette, agents, models.

import { el, setText } from '../dom.js';

// Opens over everything. `items(query)` gives rows: `{ group, label, note, keys, current,
// disabled, run }`.
export function choose({ label, placeholder, items }) {
	const list = el('div.rows', { role: 'listbox', id: 'chooser-rows', 'aria-label': label });
	const empty = el('p.none', { role: 'status' });
	const field = el('input', {
		type: 'text', placeholder, 'aria-label': label, role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'chooser-rows',
		'aria-autocomplete': 'list', autocomplete: 'off', spellcheck: 'false',
	});
	const dialog = el('dialog.chooser', { 'aria-label': label }, field, list, empty);
	let rows = [];
	let at = -1;

	const mark = next => {
		rows[at]?.node.setAttribute('aria-selected', 'false');
		at = next;
		const row = rows[at];
		if (!row) return field.removeAttribute('aria-activedescendant');
		row.node.setAttribute('aria-selected', 'true');
		field.setAttribute('aria-activedescendant', row.node.id);
		return row.node.scrollIntoView({ block: 'nearest' });
	};
	const step = by => {
		for (let tried = 1; tried <= rows.length; tried += 1) {
			const next = (at + by * tried + rows.length * tried) % rows.length;
			if (!rows[next].disabled) return mark(next);
		}
		return undefined;
	};
	const take = row => {
		if (!row || row.disabled) return;
		dialog.close();
		row.run();
	};
	const draw = () => {
		let group;
		list.replaceChildren();
		rows = items(field.value.trim());
		rows.forEach((row, number) => {
			if (row.group !== group) {
				group = row.group;
				if (group) list.append(el('div.group', { role: 'presentation' }, group));
			}
			row.node = el('div.row', {
				id: `row-${number}`, role: 'option', 'aria-selected': 'false', 'aria-disabled': row.disabled ? 'true' : null,
				onclick: () => take(row), onpointermove: () => row.disabled || at === number || mark(number),
			},
			el('span.row-mark', { 'aria-hidden': 'true' }, row.mark ?? (row.current ? '●' : '')),
			el('span.row-label', null, row.label, row.current ? el('span.offscreen', null, ' (current)') : null),
			row.note ? el('span.row-note', null, row.note) : null,
			row.keys ? el('kbd', null, row.keys) : null);
			list.append(row.node);
		});
		setText(empty, rows.length ? '' : 'Nothing fits. Esc closes.');
		at = -1;
		const current = rows.findIndex(row => row.current && !row.disabled);
		mark(field.value || current < 0 ? rows.findIndex(row => !row.disabled) : current);
	};

	field.addEventListener('input', draw);
	field.addEventListener('keydown', event => {
		if (event.isComposing) return;
		const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
		if (move) step(move);
		else if (event.key === 'Enter') take(rows[at]);
		else return;
		event.preventDefault();
	});
	open(dialog);
	draw();
	field.focus();
	return dialog;
}

// Shows a dialog over the page; a click beside it and Esc close it, and focus goes back.
export function open(dialog, { closable = true } = {}) {
	const before = document.activeElement;
	dialog.addEventListener('close', () => {
		dialog.remove();
		if (document.activeElement === document.body) before?.focus?.({ preventScroll: true });
	});
	dialog.addEventListener('cancel', event => closable || event.preventDefault());
	dialog.addEventListener('pointerdown', event => {
		if (closable && event.target === dialog) dialog.close();
	});
	document.querySelectorAll('dialog').forEach(other => other !== dialog && other.close());
	document.body.append(dialog);
	dialog.showModal();
}

export function fits(text, query) {
	const lower = text.toLowerCase();
	return query.toLowerCase().split(/\s+/).every(word => lower.includes(word));
}
