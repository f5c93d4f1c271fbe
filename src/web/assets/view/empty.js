// What a newcomer sees: where this is, who answers, and what to type.

import { el } from '../dom.js';

export function emptyView(info, actions) {
	if (!info) return [];
	const { directory, model, offline, version, readme } = info;
	const name = directory.split('/').filter(Boolean).at(-1) ?? directory;
	const prompts = offline
		? ['list files', `read the file ${readme ?? 'README.md'}`, 'search for TODO']
		: ['Explain this project to a newcomer: what it does and where to begin', 'Find the TODO comments and say which matters most', 'Run the tests and explain what fails'];
	const who = offline
		? el('p', null, 'No model is set up yet, so the offline guide answers: it really runs the tools, and is no language model. For a real one set ', el('code', null, 'ANTHROPIC_API_KEY'), ', ', el('code', null, 'OPENAI_API_KEY'), ' or another and start again, or run Ollama on this machine.')
		: el('p', null, 'Answers come from ', el('strong', null, model), '. It reads and edits files of this project, searches it, and runs commands.');
	return [el('div.empty', null,
		el('h2', null, `What shall we do in ${name}?`),
		el('p.where', null, el('code', null, directory), el('span', null, ` · opencode ${version}`)),
		who,
		el('div.prompts', null, prompts.map(prompt =>
			el('button.prompt', { onclick: () => actions.send(prompt) }, el('span', null, prompt), el('span.go', { 'aria-hidden': 'true' }, '↵')))),
		el('p.hint', null, el('kbd', null, '@'), ' names a file, ', el('kbd', null, 'Ctrl K'), ' finds everything, ', el('kbd', null, '?'), ' shows all keys.'))];
}
