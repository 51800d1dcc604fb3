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
mail-support = ¿Necesitas ayuda? { $support }
mail-sent-to = Este correo se envió a { $email } porque la dirección pertenece a una cuenta de { $app }.

reset-subject = Elige una contraseña nueva para { $app }
reset-preheader = El enlace es válido hasta el { $date } y funciona una sola vez.
reset-asked = Alguien, probablemente tú, pidió elegir una contraseña nueva para la cuenta { $email } de { $app }.
reset-open = Abre este enlace en tu navegador:
reset-button = Elegir contraseña nueva
reset-until = El enlace es válido hasta el { $date } y funciona una sola vez.
reset-code = Si la página te pide un código, pega este:
reset-not-you = Si no fuiste tú, no tienes que hacer nada: tu contraseña sigue siendo la misma y nadie puede cambiarla sin este correo.

changed-subject = Tu contraseña de { $app } ha cambiado
changed-preheader = Si fuiste tú, no tienes que hacer nada.
changed-what = La contraseña de la cuenta { $email } de { $app } se cambió el { $date }.
changed-you = Si fuiste tú, no tienes que hacer nada.
changed-not-you = Si no fuiste tú, puede que alguien esté leyendo tu correo. Primero protege tu cuenta de correo cambiando su contraseña. Después elige enseguida una contraseña nueva para { $app }: sustituirá a la que puso otra persona.

page-language = Idioma
page-error = Error:
page-support = Ayuda:

field-email = Correo electrónico
field-password = Contraseña nueva
field-code = Código del correo
field-code-hint = Está en el correo, debajo del enlace.

ask-title = ¿Olvidaste tu contraseña?
ask-intro = Escribe la dirección de correo de tu cuenta. Recibirás un correo con un enlace para elegir una contraseña nueva.
ask-button = Enviarme un enlace

sent-title = Revisa tu bandeja de entrada
sent-body = Si existe una cuenta con esta dirección, un correo con un enlace va en camino. En él verás hasta cuándo es válido.
sent-missing = ¿No ha llegado nada en unos minutos? Mira en la carpeta de spam, comprueba que la dirección esté bien escrita y vuelve a pedirlo.
sent-again = Volver a pedirlo

choose-title = Elige una contraseña nueva
choose-rules = Al menos { $min } caracteres. Unas cuantas palabras sin relación entre sí son seguras y fáciles de recordar.
choose-show = Mostrar contraseña
choose-hide = Ocultar contraseña
choose-count = { $count } de al menos { $min } caracteres
choose-good = Esta contraseña es buena.
choose-button = Guardar contraseña

done-title = Tu contraseña nueva está guardada
done-body = Ya puedes iniciar sesión con ella. Los enlaces de correos anteriores ya no funcionan.

dead-title = Este enlace ya no funciona
dead-body = Ha caducado, ya se usó o se ha elegido una contraseña más reciente. Si acabas de elegir una, prueba a iniciar sesión con ella. Si no, pide otro enlace:

forbidden-title = Esta página no está disponible aquí

error-email = Escribe una sola dirección de correo, por ejemplo ada@example.com.
error-password = Escribe una contraseña nueva.
error-code = Pega el código del correo.
error-form = No se pudo leer el formulario. Revísalo y vuelve a enviarlo.
error-too-short = Usa al menos { $min } caracteres.
error-too-long = Usa como máximo { $max } caracteres.
error-too-guessable = Esta contraseña es fácil de adivinar. Añade unas cuantas palabras sin relación entre sí; evita nombres, fechas y secuencias.
error-contains-account = Esta contraseña se basa en tu nombre o tu dirección, que otras personas conocen. Quítalos o añade unas cuantas palabras sin relación con ellos.
error-breached = Esta contraseña apareció en una filtración de datos de otro servicio. Elige otra.
error-token = Este enlace ya no funciona. Ha caducado, ya se usó o se ha elegido una contraseña más reciente. Si acabas de elegir una, prueba a iniciar sesión con ella. Si no, pide otro enlace.
error-forbidden = Esta dirección no acepta solicitudes directas. Ve al sitio web o a la aplicación donde tienes tu cuenta y restablece allí tu contraseña.
error-limited = Llegaron demasiadas solicitudes desde tu red. Inténtalo de nuevo en { $minutes ->
    [one] un minuto
   *[other] { $minutes } minutos
}.
error-unavailable = Algo ha fallado por nuestra parte. Vuelve a enviar el formulario en un minuto.
error-unavailable-choose = Algo ha fallado por nuestra parte. Prueba a iniciar sesión con la contraseña nueva; si no funciona, vuelve a enviar el formulario en un minuto.
error-reference = Referencia:
