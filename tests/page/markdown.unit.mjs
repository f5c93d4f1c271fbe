// Markdown as a tree: what models write, what grows, and what would like to be slow.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { highlight } from '../../src/web/assets/highlight.js';
import { parseInline, safeHref } from '../../src/web/assets/inline.js';
import { cells, parse } from '../../src/web/assets/markdown.js';

// A tree as a short text: `p(a *em(b))`.
const SHORT = { paragraph: 'p', heading: 'h', quote: 'q' };
function shown(node) {
	if (Array.isArray(node)) return node.map(shown).join('');
	const inner = node.inline ?? node.children;
	switch (node.type) {
		case 'text': return node.text;
		case 'break': return '⏎';
		case 'rule': return '---';
		case 'code': return node.lang === undefined ? `\`${node.text}\`` : `code:${node.lang}(${node.text})`;
		case 'list': return `${node.ordered ? `ol${node.first}` : 'ul'}${node.loose ? '~' : ''}(${node.items.map(item => (item.task === null ? '' : item.task ? '[x]' : '[ ]') + shown(item.children)).join('|')})`;
		case 'table': return `table(${[node.head, ...node.rows.map(row => row.cells)].map(row => row.map(shown).join('|')).join('/')})`;
		case 'link': return `<${shown(inner)}→${node.href}>`;
		case 'group': return shown(inner);
		default: return `${SHORT[node.type] ?? node.type}${node.level ?? ''}(${shown(inner)})`;
	}
}
const blocks = text => parse(text).map(shown).join(' ');
const inline = text => shown(parseInline(text));

test('blocks', () => {
	for (const [text, wanted] of [
		['# A\n## B ##\n### **C**', 'h1(A) h2(B) h3(strong(C))'],
		['one\ntwo\n\nthree', 'p(one\ntwo) p(three)'],
		['text\n---\nmore', 'p(text) --- p(more)'],
		['> a\n> b\nlazy\n\nafter', 'q(p(a\nb\nlazy)) p(after)'],
		['```js\nlet a;\n\n  b\n```\nx', 'code:js(let a;\n\n  b) p(x)'],
		['~~~\n```\n~~~', 'code:(```)'],
		['```\nopen', 'code:(open)'],
		['- a\n- b\n\nc', 'ul(p(a)|p(b)) p(c)'],
		['- a\n\n- b', 'ul~(p(a)|p(b))'],
		['1. a\n  - two spaces\n   - three\n2. b', 'ol1(p(a)ul(p(two spaces)|p(three))|p(b))'],
		['3) a\n4) b', 'ol3(p(a)|p(b))'],
		['- [x] a\n- [ ] b', 'ul([x]p(a)|[ ]p(b))'],
		['- a\n  ```sh\n  ls\n  ```\n- b', 'ul(p(a)code:sh(ls)|p(b))'],
		['| a | b |\n|:--|--:|\n| 1 | `x|y` |\n| 2 |', 'table(a|b/1|`x|y`/2|)'],
		['In\n1986. a year', 'p(In\n1986. a year)'],
		['<div>\n<script>', 'p(<div>\n<script>)'],
	]) assert.equal(blocks(text), wanted, text);
	assert.deepEqual(parse('|a|b|c|\n|:-|-:|:-:|').at(0).align, ['left', 'right', 'center']);
	assert.deepEqual(cells('| a \\| b | `c|d` |'), ['a | b', '`c|d`']);
});

test('the pieces of a line', () => {
	for (const [text, wanted] of [
		['*a* **b** _c_ __d__ ~~e~~ ***f***', 'em(a) strong(b) em(c) strong(d) strike(e) em(strong(f))'],
		['**a *b* c** *a **b***', 'strong(a em(b) c) em(a strong(b))'],
		['snake_case_name 2 * 3 * 4 **open', 'snake_case_name 2 * 3 * 4 **open'],
		['`a` ``b`c`` `open', '`a` `b`c` `open'],
		['\\*no\\* \\[x\\] a &amp; b &lt;', '*no* [x] a & b <'],
		['two  \nlines\\\nthree<br>four', 'two⏎lines⏎three⏎four'],
		['[a **b**](https://x.y/(z) "t") <https://q.r/>', '<a strong(b)→https://x.y/(z)> <https://q.r/→https://q.r/>'],
		['(see https://a.b/c_(d)), http://x.y.', '(see <https://a.b/c_(d)→https://a.b/c_(d)>), <http://x.y→http://x.y/>.'],
		['[mail](mailto:a@b.c)', '<mail→mailto:a@b.c>'],
	]) assert.equal(inline(text), wanted, text);
});

test('a link leads to the web or to a mailbox, and an image is a link', () => {
	for (const address of ['javascript:alert(1)', 'JaVaScRiPt:x', ' java\nscript:x', 'data:text/html,x', 'file:///etc/passwd', '//evil.example', 'vbscript:x', 'x', '']) {
		assert.equal(safeHref(address), null, address);
	}
	assert.equal(inline('[x](javascript:a)'), 'x (javascript:a)');
	assert.equal(inline('![alt](https://x.y/z.png)'), '<image: alt→https://x.y/z.png>');
	assert.equal(inline('![alt](data:image/png;base64,AA)'), 'image: alt (data:image/png;base64,AA)');
});

test('a growing text is parsed from its last block alone, and comes to the same', () => {
	const text = '# Title\n\nSome **bold** text\nover lines.\n\n- a\n- b\n  - c\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n```js\nlet a = 1;\n\nlet b;\n```\n\n1. one\n\n   more\n2. two\n\n> quoted\n\nend';
	let from = 0;
	let done = [];
	for (let length = 1; length <= text.length; length += 1) {
		const fresh = parse(text.slice(0, length), from);
		if (!fresh.length) continue;
		done = [...done, ...fresh.slice(0, -1).map(shown)];
		from = fresh.at(-1).start;
	}
	assert.equal([...done, ...parse(text, from).map(shown)].join(' '), blocks(text));
});

test('hostile text takes no time', () => {
	const pieces = ['[', '![', '[a](', '[x](y', '*a ', '**', '_a*', '~~', '`', '`a', '<', '&', '> ', '- ', '  - ', '1. ', '|', '|-', 'a|', '# ', '```\n', '> - ', 'http://', '\t'];
	for (const piece of pieces) {
		for (const text of [piece.repeat(60_000 / piece.length), piece.repeat(19_000 / piece.length), `${piece}\n`.repeat(10_000)]) {
			const begun = performance.now();
			parse(text);
			// A hundredth of it is usual; a machine that is busy takes longer.
			assert.ok(performance.now() - begun < 3000, `${JSON.stringify(piece)} × ${text.length}`);
		}
	}
});

test('code is coloured, and nothing of it is lost', () => {
	const kinds = (code, lang) => highlight(code, lang).flat().filter(([kind]) => kind).map(([kind, text]) => `${kind}:${text}`).join(' ');
	for (const [lang, code, wanted] of [
		['ts', 'const a = `x ${1}`; // c', 'keyword:const string:`x ${1}` comment:// c'],
		['py', '@d\ndef f(): return "#a" # x', 'number:@d keyword:def function:f keyword:return string:"#a" comment:# x'],
		['rust', 'let s = r#"a"#; f!(1)', 'keyword:let string:r#"a"# function:f! number:1'],
		['go', 'func main() { x := `a` }', 'keyword:func function:main string:`a`'],
		['c', '#include <a>\nint f(); /* a\nb */', 'number:#include keyword:int function:f comment:/* a comment:b */'],
		['json', '{"a": [1, true, "b"]}', 'function:"a" number:1 keyword:true string:"b"'],
		['toml', '[a]\nk = "v" # c', 'keyword:[a] function:k string:"v" comment:# c'],
		['html', '<a href="x">t</a>', 'keyword:<a function:href string:"x" keyword:> keyword:</a keyword:>'],
		['css', 'a { color: #fff }', 'function:color number:#fff'],
		['sh', 'ls -la $HOME # c', 'function:-la number:$HOME comment:# c'],
		['sql', "SELECT 'a' FROM t", "keyword:SELECT string:'a' keyword:FROM"],
		['diff', '+a\n-b\n@@ c', 'added:+a removed:-b comment:@@ c'],
		['unknown', 'let a', ''],
	]) {
		assert.equal(kinds(code, lang), wanted, lang);
		assert.equal(highlight(code, lang).map(line => line.map(([, text]) => text).join('')).join('\n'), code);
	}
	for (const lang of ['js', 'py', 'rust', 'go', 'c', 'json', 'yaml', 'html', 'css', 'sh', 'sql', 'diff']) {
		for (const piece of ['a', '-', 'a-', '"', "'", '`', '${', '\\"', '/*', '\n', 'r#', '<!--', '1_', ' ']) {
			const begun = performance.now();
			highlight(piece.repeat(39_000 / piece.length), lang);
			assert.ok(performance.now() - begun < 5000, `${lang}: ${JSON.stringify(piece)}`);
		}
	}
});
