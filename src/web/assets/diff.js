// Unified diffs into rows with both line numbers, and the difference of two texts for an edit that
// waits to be permitted. Knows nothing of the page.

/// Texts with more lines than this are compared only at their ends.
const COMPARED = 600;

/// The rows of a unified diff: `{ kind: 'same' | 'added' | 'removed' | 'skip', old, new, text }`.
/// Nothing where the text is no diff.
export function parseDiff(text) {
  const rows = [];
  let [old, now] = [0, 0];
  let inside = false;
  for (const line of text.split('\n')) {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(line);
    if (hunk) {
      const next = [Number(hunk[1]), Number(hunk[2])];
      // The first line is no gap, and neither is a hunk that goes on from the last one.
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
      // A result that was cut in its middle says so in a line of its own; numbers end there.
      rows.push({ kind: 'skip', text: line });
    }
  }
  return inside ? rows : null;
}

/// How many lines a diff adds and removes.
export function counted(rows) {
  const of = kind => rows.filter(row => row.kind === kind).length;
  return { added: of('added'), removed: of('removed') };
}

/// The rows that lead from one text to another, without numbers: where in a file they stand is not
/// known before it is edited.
export function difference(before, after) {
  const [a, b] = [before.split('\n'), after.split('\n')];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < Math.min(a.length, b.length) - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const same = text => ({ kind: 'same', text });
  return [
    ...a.slice(0, head).map(same),
    ...between(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
    ...a.slice(a.length - tail).map(same),
  ];
}

function between(a, b) {
  const removed = text => ({ kind: 'removed', text });
  const added = text => ({ kind: 'added', text });
  if (a.length > COMPARED || b.length > COMPARED) return [...a.map(removed), ...b.map(added)];
  // The longest common subsequence, from the ends.
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i * width + j] = a[i] === b[j]
        ? longest[(i + 1) * width + j + 1] + 1
        : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const rows = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      rows.push({ kind: 'same', text: a[i] });
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
      rows.push(removed(a[i]));
      i += 1;
    } else {
      rows.push(added(b[j]));
      j += 1;
    }
  }
  return rows;
}

/// The rows of a new file.
export function created(text) {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line, at) => ({ kind: 'added', new: at + 1, text: line }));
}
