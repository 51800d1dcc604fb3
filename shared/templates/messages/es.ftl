language-name = Español
direction = ltr

date = { $day } de { $month ->
    [1] enero
    [2] febrero
    [3] marzo
    [4] abril
    [5] mayo
    [6] junio
    [7] julio
    [8] agosto
    [9] septiembre
    [10] octubre
    [11] noviembre
   *[12] diciembre
} de { $year }, { $time } UTC

mail-greeting = Hola, { $name }:
mail-greeting-nameless = Hola:
mail-support = Si necesitas ayuda, escríbenos: { $support }
mail-sent-to = Este correo se envió a { $email } porque alguien usó esta dirección en { $app }.

reset-subject = Elige una contraseña nueva para { $app }
reset-preheader = El enlace es válido hasta el { $date } y funciona una sola vez.
reset-asked = Alguien, probablemente tú, pidió una contraseña nueva para la cuenta { $email } en { $app }.
reset-open = Abre este enlace para elegirla:
reset-button = Elegir contraseña nueva
reset-until = El enlace es válido hasta el { $date } y funciona una sola vez.
reset-code = Si la página te pide un código, pega este:
reset-not-you = Si no fuiste tú, no tienes que hacer nada: tu contraseña sigue siendo la misma y nadie puede cambiarla sin este correo.

changed-subject = Tu contraseña de { $app } ha cambiado
changed-preheader = Si fuiste tú, no tienes que hacer nada.
changed-what = La contraseña de la cuenta { $email } en { $app } se cambió el { $date }.
changed-you = Si fuiste tú, no tienes que hacer nada.
changed-not-you = Si no fuiste tú, puede que alguien esté leyendo tu correo. Protege primero tu buzón y después pide enseguida una contraseña nueva en { $app }: así anulas la que puso otra persona.
