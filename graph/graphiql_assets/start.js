// Puts the editor on the page. All that differs from request to request is in #config.
'use strict';

(() => {
  const config = JSON.parse(document.getElementById('config').textContent);
  const notice = document.getElementById('notice');

  if (typeof GraphiQL === 'undefined') {
    notice.textContent = 'GraphiQL is not installed: run make serve.';
    return;
  }
  notice.textContent = config.investor
    ? `Signed in as ${config.investor}, a simulated investor.`
    : 'Not signed in: put {"Authorization": "Bearer <token>"} under Headers.';

  // A header that the reader sets wins, so that one can look as somebody else.
  async function fetcher(params, options) {
    const headers = new Headers({
      Accept: 'application/json',
      'Content-Type': 'application/json',
      ...(options && options.headers),
    });
    if (config.token && !headers.has('Authorization')) {
      headers.set('Authorization', `Bearer ${config.token}`);
    }
    const response = await fetch('/graphql', {
      method: 'POST',
      headers,
      body: JSON.stringify(params),
    });
    return response.json();
  }

  // In memory: ids of another database, kept from another day, would only confuse.
  const kept = new Map();
  const storage = {
    get length() {
      return kept.size;
    },
    getItem: (key) => (kept.has(key) ? kept.get(key) : null),
    setItem: (key, value) => void kept.set(key, String(value)),
    removeItem: (key) => void kept.delete(key),
    clear: () => kept.clear(),
  };

  ReactDOM.createRoot(document.getElementById('graphiql')).render(
    React.createElement(GraphiQL, {
      fetcher,
      storage,
      defaultTabs: config.tabs,
      defaultEditorToolsVisibility: 'variables',
    }),
  );
})();
