// A diff on the page: sign and two number columns, colour besides, the true indent.

import { el } from '../dom.js';
import { highlight, languageOfPath } from '../highlight.js';
import { pieces } from '../render.js';
import { scroller } from '../scroller.js';
import { plural } from '../words.js';

const SIGNS = { added: '+', removed: '−', same: ' ' };
const LABELS = { added: 'added', removed: 'removed' };
const SHOWN = 400;

export function diffView(rows, path = '') {
	const lang = languageOfPath(path);
	const numbered = rows.some(row => row.old || row.new);
	const body = el('tbody');
	const add = some => body.append(...some.map(row => rowView(row, lang, numbered)));
	add(rows.slice(0, SHOWN));
	const table = el(`table${numbered ? '' : '.unnumbered'}`, null, body);
	const box = scroller('div.diff', `Changes in ${path || 'the file'}`, table);
	const left = rows.length - SHOWN;
	if (left <= 0) return box;
	const more = el('button.quiet', { onclick: () => {
		add(rows.slice(SHOWN));
		more.remove();
	} }, `Show ${plural(left, 'more line')}`);
	return el('div', null, box, more);
}

function rowView(row, lang, numbered) {
	if (row.kind === 'skip') {
		const words = row.text ?? (row.count > 0 ? `⋯ ${plural(row.count, 'line')}` : '⋯');
		return el('tr.skip', null, el('td', { colspan: numbered ? '4' : '2' }, words));
	}
	const numbers = numbered ? [el('td.number', null, String(row.old ?? '')), el('td.number', null, String(row.new ?? ''))] : [];
	const label = LABELS[row.kind];
	const sign = el('td.sign', null, label ? el('span', { role: 'img', 'aria-label': label }, SIGNS[row.kind]) : ' ');
	const [tokens] = highlight(row.text.replace(/\r$/, ''), lang);
	return el(`tr.${row.kind}`, null, numbers, sign, el('td.text', null, pieces(tokens)));
}
