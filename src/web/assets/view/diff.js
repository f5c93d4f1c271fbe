// A diff on the page: sign and two number columns, colour besides, the true indent.

import { el } from '../dom.js';
import { highlight, languageOfPath } from '../highlight.js';
import { pieces } from '../render.js';
import { scroller } from '../scroller.js';
import { plural } from '../words.js';

const SIGNS = { added: '+', removed: '−', same: ' ' };
const LABELS = { added: 'added', removed: 'removed' };

export function diffView(rows, path = '') {
	const lang = languageOfPath(path);
	const numbered = rows.some(row => row.old || row.new);
	const table = el(`table${numbered ? '' : '.unnumbered'}`, null, el('tbody', null, rows.map(row => rowView(row, lang, numbered))));
	return scroller('div.diff', `Changes in ${path || 'the file'}`, table);
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
