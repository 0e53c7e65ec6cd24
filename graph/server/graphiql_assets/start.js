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
  function post(params, options, accept) {
    const headers = new Headers({
      Accept: accept,
      'Content-Type': 'application/json',
      ...(options && options.headers),
    });
    if (config.token && !headers.has('Authorization')) {
      headers.set('Authorization', `Bearer ${config.token}`);
    }
    return fetch('/graphql', { method: 'POST', headers, body: JSON.stringify(params) });
  }

  // The responses of a subscription, which come as server-sent events.
  async function* events(params, options) {
    const response = await post(params, options, 'text/event-stream');
    if (!response.headers.get('Content-Type').startsWith('text/event-stream')) {
      yield response.json();
      return;
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    try {
      for (let text = ''; ; ) {
        const { value, done } = await reader.read();
        if (done) return;
        const parts = (text + value).split('\n\n');
        text = parts.pop();
        for (const part of parts) {
          const data = part.split('\n').find((line) => line.startsWith('data: {'));
          if (data) yield JSON.parse(data.slice('data: '.length));
        }
      }
    } finally {
      await reader.cancel();
    }
  }

  function fetcher(params, options) {
    const definitions = (options && options.documentAST && options.documentAST.definitions) || [];
    const subscribes = definitions.some(
      (one) =>
        one.operation === 'subscription' &&
        (!params.operationName || (one.name && one.name.value === params.operationName)),
    );
    if (subscribes) return events(params, options);
    return post(params, options, 'application/json').then((response) => response.json());
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
