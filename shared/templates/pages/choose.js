(() => {
  const $ = id => document.getElementById(id);
  const [form, password, code, feedback, show] = ['choose', 'password', 'code', 'feedback', 'show'].map($);
  const hash = location.hash;
  const link = new URLSearchParams(hash.slice(1));
  // Out of the address bar at once: nobody reads it over a shoulder, no history keeps it.
  if (hash) history.replaceState(null, '', location.pathname + location.search);
  if (link.get('token')) {
    code.value = link.get('token');
    if ($('paste')) $('paste').hidden = true;
  }
  if (link.get('email')) {
    $('email').value = $('again').value = link.get('email');
    $('email').disabled = $('account').hidden = false;
  }
  // Another language is another page, which wants the link's fragment too.
  if (hash) for (const a of document.querySelectorAll('nav a')) {
    a.addEventListener('click', event => { event.preventDefault(); location.href = a.href + hash; });
  }

  const check = async (fields, signal) => {
    const body = JSON.stringify({ forgot_password_hash: code.value, check_only: 'true', ...fields });
    const headers = { 'content-type': 'application/json', accept: 'application/json' };
    const answer = await fetch(location.href, { method: 'POST', headers, body, signal });
    return answer.json();
  };

  const bury = () => {
    $('alive').hidden = true;
    $('dead').hidden = false;
    document.title = $('dead').querySelector('h1').textContent;
    $('dead').querySelector('h1').focus();
  };

  // A link that no longer works says so before anybody thinks of a password.
  if (link.get('token')) check({}).then(answer => answer.code === 'invalid_token' && bury(), () => {});

  let timer, request;
  password.addEventListener('input', () => {
    clearTimeout(timer);
    request?.abort();
    const count = [...password.value.normalize('NFC')].length;
    feedback.textContent = count ? feedback.dataset.count.replace('COUNT', count) : '';
    if (count < feedback.dataset.min || !code.value) return;
    timer = setTimeout(() => {
      request = new AbortController();
      check({ new_password: password.value }, request.signal).then(answer => {
        if (answer.worked) feedback.textContent = feedback.dataset.good;
        else if (answer.reasons) feedback.textContent = answer.reasons.map(r => feedback.getAttribute('data-' + r.code)).join(' ');
      }, () => {});
    }, 400);
  });

  show.hidden = false;
  show.addEventListener('click', () => {
    const shown = password.type === 'text';
    password.type = shown ? 'password' : 'text';
    show.setAttribute('aria-pressed', String(!shown));
    show.textContent = shown ? show.dataset.show : show.dataset.hide;
  });

  // One submit a page: a second one would find the link spent and frighten the person.
  let sent = false;
  form.addEventListener('submit', event => {
    if (sent) event.preventDefault();
    sent = true;
    password.type = 'password';
  });
  addEventListener('pageshow', () => { sent = false; });
})();
