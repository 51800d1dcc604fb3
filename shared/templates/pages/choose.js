(() => {
  const $ = id => document.getElementById(id);
  const [form, password, code, feedback, show] = ['choose', 'password', 'code', 'feedback', 'show'].map($);
  const hash = location.hash;
  const link = new URLSearchParams(hash.slice(1));
  // Remove the token from the address bar and the history at once.
  if (hash) history.replaceState(null, '', location.pathname + location.search);
  if (link.get('token')) {
    code.value = link.get('token');
    if ($('paste')) $('paste').hidden = true;
  }
  if (link.get('email')) {
    $('email').value = $('again').value = link.get('email');
    $('email').disabled = $('account').hidden = false;
  }
  // The page in another language needs the link's fragment too.
  if (hash) for (const a of document.querySelectorAll('nav a')) {
    a.addEventListener('click', event => { event.preventDefault(); location.href = a.href + hash; });
  }

  const check = async (fields, signal) => {
    const body = JSON.stringify({ forgot_password_hash: code.value, check_only: 'true', ...fields });
    const headers = { 'content-type': 'application/json', accept: 'application/json' };
    const response = await fetch(location.href, { method: 'POST', headers, body, signal });
    return response.json();
  };

  const showDeadLink = () => {
    $('alive').hidden = true;
    $('dead').hidden = false;
    document.title = $('dead').querySelector('h1').textContent;
    $('dead').querySelector('h1').focus();
  };

  // Report a dead link before the person thinks of a password.
  if (link.get('token')) check({}).then(result => result.code === 'invalid_token' && showDeadLink(), () => {});

  let timer, request;
  password.addEventListener('input', () => {
    clearTimeout(timer);
    request?.abort();
    const count = [...password.value.normalize('NFC')].length;
    feedback.textContent = count ? feedback.dataset.count.replace('COUNT', count) : '';
    if (count < feedback.dataset.min || !code.value) return;
    timer = setTimeout(() => {
      request = new AbortController();
      check({ new_password: password.value }, request.signal).then(result => {
        if (result.worked) feedback.textContent = feedback.dataset.good;
        else if (result.reasons) feedback.textContent = result.reasons.map(r => feedback.getAttribute('data-' + r.code)).join(' ');
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

  // Submit once per page: a second submission would fail with a used link.
  let sent = false;
  form.addEventListener('submit', event => {
    if (sent) event.preventDefault();
    sent = true;
    password.type = 'password';
  });
  addEventListener('pageshow', () => { sent = false; });
})();
