// Colours code: a language is a few expressions, tried in order at each place. Answers tokens,
// never markup. Quantifiers are bounded where hostile text could make them slow.

const raw = String.raw;
// `$` is the end of a line; this is the end of the code.
const END = raw`$(?![^])`;
const BLOCK = raw`\/\*[^]*?(?:\*\/|${END})`;
const SLASHES = raw`\/\/[^\n]*|${BLOCK}`;
const HASH = raw`(?<![^\s;(])#[^\n]*`;
const DOUBLE = raw`"(?:\\[^]|[^"\\\n])*"?`;
const QUOTED = raw`${DOUBLE}|'(?:\\[^]|[^'\\\n])*'?`;
const TICKS = '`(?:\\\\[^]|[^`\\\\])*`?';
const NUMBER = raw`\b(?:0[xXbBoO][\da-fA-F_]+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)\w*`;
const CALL = raw`\b[A-Za-z_$][\w$]*(?=\s*\()`;
const COMMON = 'break case const continue default else enum false for goto if import return struct switch true type var while';
const CLASSY = 'abstract catch class do double extends final finally float implements instanceof int interface long new null package private protected public record short static super this throw throws try void';

// `more` are further patterns with groups of their own, tried before all but comments.
function language(comment, string, keywords, { more, number = NUMBER, call = CALL, flags = '' } = {}) {
	const words = keywords && raw`(?<keyword>\b(?:${keywords.split(' ').join('|')})\b)`;
	const named = (name, pattern) => pattern && `(?<${name}>${pattern})`;
	const parts = [named('comment', comment), more, named('string', string), words, named('number', number), named('function', call)];
	return new RegExp(parts.filter(Boolean).join('|'), `gm${flags}`);
}

const LANGUAGES = {
	js: () => language(SLASHES, `${QUOTED}|${TICKS}`, `${COMMON} ${CLASSY} as async await delete export from function get in let of set typeof undefined yield`),
	python: () => language(HASH, raw`[rbfuRBFU]{0,2}(?:"""[^]*?(?:"""|${END})|'''[^]*?(?:'''|${END})|${QUOTED})`, 'and as assert async await break case class continue def del elif else except False finally for from global if import in is lambda match None nonlocal not or pass raise return self True try while with yield', { more: raw`(?<number2>^[ \t]*@[\w.]+)` }),
	rust: () => language(SLASHES, raw`b?r#*"[^]*?"#*|b?"(?:\\[^]|[^"\\])*"|b?'(?:\\.[^'\n]{0,8}|[^'\\\n])'`, `${COMMON} as async await crate dyn fn impl in let loop match mod move mut pub ref self Self static super trait unsafe use where`, { call: raw`${CALL}|\b[a-z_]\w*!` }),
	go: () => language(SLASHES, `${QUOTED}|${TICKS}`, `${COMMON} any bool byte chan defer error fallthrough float64 func go int int64 interface map nil package range rune select string`),
	c: () => language(SLASHES, raw`"""[^]*?(?:"""|${END})|${QUOTED}`, `${COMMON} ${CLASSY} as async auto await bool boolean byte char constexpr delete extern fun func get in inline internal is let namespace nullptr object operator override sizeof string template typedef typename union unsigned using val virtual volatile when`, { more: raw`(?<number2>^[ \t]*#[ \t]*\w+|@\w+)` }),
	json: () => language(SLASHES, DOUBLE, 'true false null', { more: raw`(?<function2>"(?:\\[^]|[^"\\\n])*"(?=\s*:))`, number: raw`-?\b\d[\d.eE+-]*`, call: '' }),
	yaml: () => language(HASH, QUOTED, 'true false null yes no on off', { more: raw`(?<function2>^[ \t-]{0,40}[\w."'/-]{1,80}(?=[ \t]*(?::(?:\s|$)|=)))|(?<keyword2>^[ \t]*\[[^\]\n]*\]+)`, call: '' }),
	html: () => language(raw`<!--[^]*?(?:-->|${END})`, raw`${DOUBLE}|'[^'\n<>]*'`, '', { more: raw`(?<keyword2><\/?[A-Za-z][\w:-]*|\/?>)|(?<function2>\b[\w:@-]{1,60}(?==))`, number: '', call: '' }),
	css: () => language(BLOCK, QUOTED, '', { more: raw`(?<function2>--[\w-]+|\b[a-z-]{1,40}(?=\s*:[^:]))|(?<keyword2>@[\w-]+|![a-z]+)`, number: raw`#[\da-fA-F]{3,8}\b|-?\b\d[\d.]*(?:%|[a-z]+)?` }),
	bash: () => language(HASH, raw`"(?:\\[^]|[^"\\])*"?|'[^']*'?`, 'if then else elif fi for while until do done case esac in function return exit local export readonly set unset shift source cd echo printf read sudo', { more: raw`(?<number2>\$(?:\{[^}\n]*\}?|\w+|[?!#@*$-]))|(?<function2>(?<=\s)--?[A-Za-z][\w-]*)`, number: raw`\b\d+\b`, call: '' }),
	sql: () => language(raw`--[^\n]*|${BLOCK}`, "'(?:''|[^'])*'?", 'all alter and as asc begin between by case column commit constraint create default delete desc distinct drop else end exists foreign from group having if in index inner insert into is join key left like limit not null offset on or order outer primary references returning right rollback select set table then union unique update using values view when where with', { flags: 'i' }),
	diff: () => /(?<comment>^(?:@@|diff |index |--- |\+\+\+ )[^\n]*)|(?<added>^\+[^\n]*)|(?<removed>^-[^\n]*)/gm,
};

const ALIASES = Object.fromEntries(Object.entries({
	js: 'javascript jsx ts typescript tsx mjs cjs node php', python: 'py python3', rust: 'rs', go: 'golang', c: 'cpp c++ cc h hpp java cs csharp kt kotlin swift scala',
	json: 'jsonc json5', yaml: 'yml toml ini conf', html: 'xml svg vue', css: 'scss less',
	bash: 'sh shell zsh console terminal dockerfile makefile', diff: 'patch',
}).flatMap(([name, others]) => others.split(' ').map(other => [other, name])));

const MOST = 40_000;
const compiled = new Map();

export function languageOfPath(path) {
	return path.split('/').at(-1).toLowerCase().split('.').at(-1);
}

// The lines of a code, each a list of `[class, text]`; an empty class is plain.
export function highlight(code, name) {
	const own = ALIASES[name] ?? name;
	const lines = [[]];
	const push = (kind, text) => text.split('\n').forEach((piece, at) => {
		if (at) lines.push([]);
		if (piece) lines.at(-1).push([kind, piece]);
	});
	if (!Object.hasOwn(LANGUAGES, own) || code.length > MOST) {
		push('', code);
		return lines;
	}
	if (!compiled.has(own)) compiled.set(own, LANGUAGES[own]());
	let at = 0;
	for (const found of code.matchAll(compiled.get(own))) {
		if (!found[0]) continue;
		push('', code.slice(at, found.index));
		const kind = Object.keys(found.groups).find(key => found.groups[key] !== undefined);
		push(kind.replace('2', ''), found[0]);
		at = found.index + found[0].length;
	}
	push('', code.slice(at));
	return lines;
}
