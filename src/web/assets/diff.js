// Unified diffs into rows, and the difference of two texts. Knows nothing of the page.

// The rows of a unified diff: `{ kind: 'same' | 'added' | 'removed' | 'skip', old, new, text }`.
// Nothing where the text is no diff.
export function parseDiff(text) {
	const rows = [];
	let [old, now] = [0, 0];
	let inside = false;
	for (const line of text.split('\n')) {
		const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(line);
		if (hunk) {
			const next = [Number(hunk[1]), Number(hunk[2])];
			if (inside || next[0] > 1) rows.push({ kind: 'skip', count: next[0] - Math.max(old, 1) });
			[old, now] = next;
			inside = true;
		} else if (!inside) {
			if (line && !/^(?:---|\+\+\+|diff |index )/.test(line)) return null;
		} else if (line.startsWith('+')) {
			rows.push({ kind: 'added', new: now, text: line.slice(1) });
			now += 1;
		} else if (line.startsWith('-')) {
			rows.push({ kind: 'removed', old, text: line.slice(1) });
			old += 1;
		} else if (line.startsWith(' ')) {
			rows.push({ kind: 'same', old, new: now, text: line.slice(1) });
			old += 1;
			now += 1;
		} else if (line.startsWith('\\') || !line) {
			continue;
		} else {
			rows.push({ kind: 'skip', text: line });
		}
	}
	return inside ? rows : null;
}

export function counted(rows) {
	const of = kind => rows.filter(row => row.kind === kind).length;
	return { added: of('added'), removed: of('removed') };
}

// The rows that lead from one text to another, without numbers: where in a file they stand is not
// known before it is edited.
export function difference(before, after) {
	const [a, b] = [before.split('\n'), after.split('\n')];
	let head = 0;
	while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
	let tail = 0;
	while (tail < Math.min(a.length, b.length) - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
	const rows = (kind, lines) => lines.map(text => ({ kind, text }));
	return [
		...rows('same', a.slice(0, head)), ...rows('removed', a.slice(head, a.length - tail)),
		...rows('added', b.slice(head, b.length - tail)), ...rows('same', a.slice(a.length - tail)),
	];
}

export function created(text) {
	const lines = text.split('\n');
	if (lines.at(-1) === '') lines.pop();
	return lines.map((line, at) => ({ kind: 'added', new: at + 1, text: line }));
}
