language-name = Português (Brasil)
direction = ltr

date = { $day } de { $month ->
    [1] janeiro
    [2] fevereiro
    [3] março
    [4] abril
    [5] maio
    [6] junho
    [7] julho
    [8] agosto
    [9] setembro
    [10] outubro
    [11] novembro
   *[12] dezembro
} de { $year }, { $time } UTC

mail-greeting = Olá, { $name }!
mail-greeting-nameless = Olá!
mail-support = Precisa de ajuda? { $support }
mail-sent-to = Este e-mail foi enviado para { $email } porque o endereço pertence a uma conta em { $app }.

reset-subject = Defina uma nova senha para { $app }
reset-preheader = O link vale até { $date } e só funciona uma vez.
reset-asked = Alguém, provavelmente você, pediu para definir uma nova senha para a conta { $email } em { $app }.
reset-open = Abra este link no navegador:
reset-button = Definir nova senha
reset-until = O link vale até { $date } e só funciona uma vez.
reset-code = Se a página pedir um código, cole este:
reset-not-you = Se não foi você, não precisa fazer nada: sua senha continua a mesma, e ninguém pode alterá-la sem este e-mail.

changed-subject = Sua senha de { $app } foi alterada
changed-preheader = Se foi você, não precisa fazer nada.
changed-what = A senha da conta { $email } em { $app } foi alterada em { $date }.
changed-you = Se foi você, não precisa fazer nada.
changed-not-you = Se não foi você, alguém pode estar lendo seus e-mails. Primeiro proteja sua conta de e-mail, trocando a senha dela. Depois defina imediatamente uma nova senha para { $app }: ela substitui a que outra pessoa escolheu.

page-language = Idioma
page-error = Erro:
page-support = Ajuda:

field-email = E-mail
field-password = Nova senha
field-code = Código do e-mail
field-code-hint = Está no e-mail, abaixo do link.

ask-title = Esqueceu sua senha?
ask-intro = Digite o endereço de e-mail da sua conta. Você vai receber um e-mail com um link para definir uma nova senha.
ask-button = Enviar link

sent-title = Confira sua caixa de entrada
sent-body = Se existir uma conta com esse endereço, um e-mail com um link está a caminho. Ele informa até quando o link vale.
sent-missing = Não chegou nada depois de alguns minutos? Procure na pasta de spam, confira se o endereço está certo e peça de novo.
sent-again = Pedir de novo

choose-title = Defina uma nova senha
choose-rules = Pelo menos { $min } caracteres. Algumas palavras sem relação entre si formam uma senha forte e fácil de lembrar.
choose-show = Mostrar senha
choose-hide = Ocultar senha
choose-count = { $count } de no mínimo { $min } caracteres
choose-good = Esta senha é boa.
choose-button = Definir senha

done-title = Sua nova senha foi definida
done-body = Você já pode entrar com ela. Os links de e-mails anteriores não funcionam mais.

dead-title = Este link não funciona mais
dead-body = Ele expirou, já foi usado ou uma senha mais recente foi definida. Se você acabou de definir uma, tente entrar com ela. Caso contrário, peça um novo link:

forbidden-title = Esta página não está disponível aqui

error-email = Digite um único endereço de e-mail, como ada@example.com.
error-password = Digite uma nova senha.
error-code = Cole o código do e-mail.
error-form = Não foi possível ler o formulário. Confira e envie de novo.
error-too-short = Use pelo menos { $min } caracteres.
error-too-long = Use no máximo { $max } caracteres.
error-too-guessable = Esta senha é fácil de adivinhar. Acrescente algumas palavras sem relação entre si; evite nomes, datas e sequências.
error-contains-account = Esta senha se baseia no seu nome ou no seu endereço, que outras pessoas conhecem. Retire-os ou acrescente algumas palavras sem relação com eles.
error-breached = Esta senha apareceu em um vazamento de dados de outro serviço. Escolha outra.
error-token = Este link não funciona mais. Ele expirou, já foi usado ou uma senha mais recente foi definida. Se você acabou de definir uma, tente entrar com ela. Caso contrário, peça um novo link.
error-forbidden = Este endereço não aceita solicitações diretas. Acesse o site ou o aplicativo em que você tem sua conta e redefina sua senha por lá.
error-limited = Muitas solicitações vieram da sua rede. Tente de novo em { $minutes ->
    [one] um minuto
   *[other] { $minutes } minutos
}.
error-unavailable = Algo deu errado do nosso lado. Envie o formulário de novo em um minuto.
error-unavailable-choose = Algo deu errado do nosso lado. Tente entrar com a nova senha; se não funcionar, envie o formulário de novo em um minuto.
error-reference = Referência:
