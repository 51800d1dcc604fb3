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
mail-support = Se precisar de ajuda, fale conosco: { $support }
mail-sent-to = Este e-mail foi enviado para { $email } porque alguém usou este endereço em { $app }.

reset-subject = Defina uma nova senha para { $app }
reset-preheader = O link vale até { $date } e só funciona uma vez.
reset-asked = Alguém, provavelmente você, pediu para definir uma nova senha para a conta { $email } em { $app }.
reset-open = Abra este link para escolher a nova senha:
reset-button = Definir nova senha
reset-until = O link vale até { $date } e só funciona uma vez.
reset-code = Se a página pedir um código, cole este:
reset-not-you = Se não foi você, não precisa fazer nada: sua senha continua a mesma, e ninguém pode alterá-la sem este e-mail.

changed-subject = Sua senha de { $app } foi alterada
changed-preheader = Se foi você, não precisa fazer nada.
changed-what = A senha da conta { $email } em { $app } foi alterada em { $date }.
changed-you = Se foi você, não precisa fazer nada.
changed-not-you = Se não foi você, alguém pode estar lendo seus e-mails. Primeiro proteja sua caixa de entrada e depois peça imediatamente uma nova senha em { $app }: isso anula a que outra pessoa definiu.
