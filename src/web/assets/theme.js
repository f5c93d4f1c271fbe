// Puts on the chosen colours before anything is drawn.
try {
	const chosen = localStorage.getItem('opencode theme');
	if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
} catch { /* the system's */ }
