// Builds elements. Text reaches the page through text nodes alone, so nothing that a model, a tool
// or a file says can become markup.

// `el('button.ghost', { onclick }, 'Stop')`: properties that start with `on` are
// listeners, `null`, `undefined` and `false` are left out, everything else is an attribute.
export function el(name, properties, ...children) {
	const [tag, ...classes] = name.split('.');
	const node = document.createElement(tag);
	if (tag === 'button') node.type = 'button';
	if (classes.length) node.className = classes.join(' ');
	for (const [key, value] of Object.entries(properties ?? {})) {
		if (value === null || value === undefined || value === false) continue;
		if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
		else node.setAttribute(key, value === true ? '' : value);
	}
	node.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
	return node;
}

export const sign = text => el('span.mark', { 'aria-hidden': 'true' }, text);

export function setText(node, text) {
	if (node.textContent !== text) node.textContent = text;
}

export function toggle(node, name, on) {
	if (node.classList.contains(name) !== on) node.classList.toggle(name, on);
}

const SVG = 'http://www.w3.org/2000/svg';
const ICONS = {
	menu: 'M3 5h14M3 10h14M3 15h14',
	plus: 'M10 4v12M4 10h12',
	more: 'M4.5 10h.01M10 10h.01M15.5 10h.01',
	send: 'M10 16V4M5 9l5-5 5 5',
	stop: 'M6 6h8v8H6z',
	copy: 'M7 7V3.5h9.5V13H13M3.5 7H13v9.5H3.5z',
	chevron: 'M7.5 5l5 5-5 5',
	down: 'M10 4v12M5 11l5 5 5-5',
	theme: 'M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14',
	leave: 'M8 3.5H3.5v13H8M8 10h9M13 6l4 4-4 4',
};

export function icon(name) {
	const svg = document.createElementNS(SVG, 'svg');
	svg.setAttribute('viewBox', '0 0 20 20');
	svg.setAttribute('class', `icon icon-${name}`);
	svg.setAttribute('aria-hidden', 'true');
	const path = document.createElementNS(SVG, 'path');
	path.setAttribute('d', ICONS[name]);
	svg.append(path);
	return svg;
}

export function iconButton(name, label, onclick, more) {
	return el('button.icon-button', { 'aria-label': label, title: label, onclick, ...more }, icon(name));
}

// Without https or localhost pages have no clipboard, so a selection is copied there.
export async function copyText(text) {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		const area = el('textarea', { class: 'offscreen', 'aria-hidden': 'true', tabindex: '-1' });
		area.value = text;
		const before = document.activeElement;
		document.body.append(area);
		area.select();
		const copied = document.execCommand('copy');
		area.remove();
		before?.focus?.({ preventScroll: true });
		return copied;
	}
}

export function copyButton(label, text, name = 'button.quiet.copy') {
	const words = el('span', null, label);
	const button = el(name, { onclick: async () => {
		const copied = await copyText(text());
		words.textContent = copied ? 'Copied' : 'Not copied';
		setTimeout(() => { words.textContent = label; }, 1600);
	} }, icon('copy'), words);
	return button;
}
