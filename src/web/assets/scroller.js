// Boxes that scroll sideways: reachable by keyboard while they do, and faded where there is more.

import { el, toggle } from './dom.js';

const sizes = new ResizeObserver(entries => {
	for (const { target } of entries) look(target.closest('.scroller'));
});

export function scroller(name, label, child) {
	const box = el(`${name}.scroller`, { 'data-label': label, onscroll: () => look(box) }, child);
	sizes.observe(child);
	sizes.observe(box);
	return box;
}

function look(box) {
	if (!box) return;
	const wide = box.scrollWidth > box.clientWidth + 1;
	const scrolls = wide || box.scrollHeight > box.clientHeight + 1;
	if (scrolls !== box.hasAttribute('tabindex')) {
		if (scrolls) {
			box.setAttribute('tabindex', '0');
			box.setAttribute('role', 'group');
			box.setAttribute('aria-label', `${box.dataset.label}, scrolls`);
		} else {
			for (const name of ['tabindex', 'role', 'aria-label']) box.removeAttribute(name);
		}
	}
	toggle(box, 'more', wide && box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
}
