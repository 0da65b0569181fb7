"""Preset dictionary: wire law, never edit (CC0). See packaging/dictionary/make_dictionary.py."""

# ruff: noqa: E501

TEXT = """\
¿Quién va a venir? ¿Cuántos somos en total?
ganar gato gente gobierno gracias grande grupo guardar guerra gustar haber hablar hacer hacia hambre hasta hecho hermana hermano hija hijo historia hombre hora horas hospital hoy hueso idea iglesia igual importante información invierno invitar isla izquierda joven jugar juntos
cabeza cada caer café caja calle calor cama cambiar cambio camino campo cara carta casa caso cerrar cielo cierto ciudad cocina coger comer cómo compañero comprar conocer conseguir contento contra corazón correr cosa cosas creer cuando cualquier cuenta cuerpo
abajo abierto abrir abuelo acabar aceptar además adiós agua ahora aire ahí algo alguien alguna algunos allí alto amable amigo amigos amor andar animal año años antes aparecer aquel aquella aquí arriba así aunque ayer ayudar azul
Vale, perfecto. De acuerdo. Claro que sí. Por supuesto. Me parece bien. Tienes razón. Está bien. Muy bien, gracias.
Te quiero mucho y te echo de menos. Dale un beso a los niños.
Si no sabes nada de nosotros antes de las diez, avisa a los servicios de emergencia.
Por lo que yo sé, nada ha cambiado desde la semana pasada.
Me tengo que ir, nos vemos pronto. ¡Cuídate mucho!
El nivel del agua está subiendo muy rápido. Hay que evacuar la zona inmediatamente.
Antes de irte, asegúrate de que todo está apagado y la puerta cerrada.
edad ejemplo ejército empezar empresa encima encontrar enfermo enseñar entender entonces entrada entrar enviar equipo error escribir escuchar escuela ese eso espalda esperar esposa estado estar este esto estrella estudiar fácil falta familia favor feliz fiesta fin flor fondo foto frente frío fuego fuera fuerte fuerza fútbol
ocurrir oeste oír ojos olvidar orden otra otro otros padre padres pagar país palabra papel parar pared parte partido pasado pasar paso pedir película peligro pensar pequeño perder perdón perro persona personas pesado pescado piedra pierna piso plan plato playa poco poder policía poner porque posible pregunta preparar problema pronto próximo pueblo puerta puerto punto
bajar bajo banco barato barco barrio bastante bebé beber bien blanco boca bonito bosque botella brazo bueno buscar
El equipo de rescate va de camino. Quedaos donde estáis y no os enfriéis.
El coche se ha averiado en la autopista y estamos esperando a la grúa.
no se puede, se ha, se han, ha sido, han sido, he estado, había sido, hay que, tiene que, tengo que, va a ser, vamos a, puede ser, que no, que se, que el, que la, que los, y el, y la, es que, no es, es el, es la, una de las, uno de los, cada vez más, a veces, a lo mejor, al final, de repente, sobre todo, por cierto, además de, más de, menos de, cerca de, lejos de, dentro de, alrededor de, a través de
¿Cuándo vuelves a casa? ¿Quieres que te prepare algo de cenar?
El incendio ha cruzado la carretera y avanza hacia el norte.
No tengo ganas de salir hoy, prefiero quedarme en casa.
Necesitamos ayuda, hay una persona herida que no puede caminar. Necesitamos un médico lo antes posible.
madre mal malo mandar manera mano mapa máquina mar más mayor médico medio mejor memoria menos mes mesa miedo mientras minuto mirar mismo momento montaña morir mover mucho muerto mujer mundo música nada nadie necesario nieve ningún niña niño noche nombre normal norte nosotros noticia nuestro nuevo número nunca
Hemos estado caminando desde muy temprano y estamos todos cansados.
El camión llega mañana por la mañana con diez cajas de comida y cuatro bidones de gasóleo.
Che, ¿vos qué hacés esta noche? ¿Querés que vayamos al cine? Ahorita les aviso a ustedes.
Que tengas un buen viaje. Que te mejores. Que lo pases bien. Hasta luego. Hasta mañana. Nos vemos.
dar debajo deber decir dejar delante demasiado dentro derecha desde despacio despertar detrás día días diente difícil dinero dirección doctor dolor donde dormir duro
lunes martes miércoles jueves viernes sábado domingo enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
No creo que podamos llegar antes de que se haga de noche.
Lo siento muchísimo, estamos todos pensando en vosotros.
¿Por qué no me lo dijiste antes? No tenía ni idea.
Buenos días, ¿qué tal has dormido? Nosotros salimos en diez minutos.
lo que, los que, la que, en el que, de la, de los, de las, en la, en los, en las, a la, a las, a los, con el, con la, por el, por la, para el, para la, para que, porque, sin que, desde que, hasta que, antes de que, después de que
Me he olvidado el móvil en la oficina, así que escríbeme aquí.
lado largo lavar leer lejos lento levantar libre libro limpiar listo llamar llegar llevar llorar lluvia lugar luna luz
¡Feliz cumpleaños! Te deseo todo lo mejor y espero verte pronto.
Voy a llegar tarde, lo siento mucho. Empezad sin mí, por favor.
La antena nueva funciona bien y el nodo está en línea. La batería está al ochenta por ciento.
Esta mañana he pagado la factura, ya me darás el dinero cuando puedas.
Por favor, ten cuidado, la carretera está muy peligrosa esta noche.
Nuestra posición es a dos kilómetros al sur del paso, cerca del refugio.
Mándame tus coordenadas. Mensaje recibido. Probando, probando, ¿alguien me copia?
Había mucha gente en la plaza y no pudimos aparcar el coche.
quedar querer quien quitar quizás radio razón recibir recoger recordar regalo reloj reparar responder resto rico río rojo romper ropa rueda ruido saber sacar salida salir salud sangre seguir seguro semana sentir señal señor señora ser servicio siempre siguiente silla sistema sobre sol solo sopa subir suelo suerte sur también tampoco tarde teléfono tener terminar tiempo tienda tierra tirar tocar todavía todo todos tomar trabajo traer tranquilo tren triste único usar vaca vacaciones valle varios vaso vecino vender venir ventana ver verano verdad verde vez viaje vida viejo viento visitar vivir volver voz zapato zona
¿Cuántas mantas os quedan? Nos vendrían bien otras cincuenta.
Él dijo que volvería a tiempo para la cena, pero no contesta el teléfono.
Parece que va a llover todo el día, así que llévate una chaqueta.
El terremoto ha dañado varios edificios, pero casi todo el mundo pudo salir a tiempo.
Después de eso bajamos al río y comimos algo.
Buenas noches, que descanses. Hablamos mañana por la mañana.
¿Todo bien por ahí? Aquí todo tranquilo, sin novedad.
Ya estamos en el campamento y hace buen tiempo. El agua está muy limpia.
El envío se ha retrasado hasta el próximo miércoles, tendremos que arreglarnos con lo que hay.
¿Puedes traer pan, leche, huevos y una botella de agua de la tienda?
Los niños lo pasaron muy bien en la playa y se durmieron en el coche.
uno dos tres cuatro cinco seis siete ocho nueve diez once doce quince veinte treinta cuarenta cincuenta cien ciento mil primero segundo tercero medio
El camino entre el pueblo y el valle está bloqueado por los árboles caídos.
No lo sé todavía, pero creo que sí. Te digo algo más tarde.
No te preocupes, no pasa nada. Lo hacemos otro día.
Todavía no ha llegado nadie, pero nos dijeron que estarían aquí a las ocho.
Su hija está en el hospital, pero los médicos dicen que se va a poner bien.
Ya te lo he dicho varias veces, pero no me haces caso.
Esto es una emergencia. Faltan dos personas desde esta mañana cerca del puente viejo.
La niebla es tan espesa que casi no vemos el sendero. Damos la vuelta.
Puedes dejar el coche al lado de la casa, las llaves están debajo de la maceta.
El herido está consciente y respira con normalidad. Ya no sangra.
Viene una tormenta grande desde el oeste. Buscad un lugar seguro.
Si hay algo que pueda hacer por vosotros, solo tienes que decirlo.
¿Has visto mi mensaje de ayer? No me has contestado.
Hola, ¿cómo estás? Espero que todo vaya bien por allí.
¿Me puedes llamar cuando tengas un momento, por favor?
Ella quiere saber si puedes recogerla en el aeropuerto el viernes por la noche.
Hemos llegado a la cumbre y ahora empezamos a bajar.
Gire a la izquierda en el segundo semáforo y siga todo recto hasta el río.
Mi madre dice que vengáis a comer el domingo, que hay sitio para todos.
Ha vuelto la luz en la parte norte de la ciudad, pero los teléfonos siguen sin funcionar.
La señal es muy débil aquí. Lo intentaré otra vez desde más arriba.
Hacen falta medicinas, mantas, pilas, combustible y agua potable en el refugio.
El tren lleva veinte minutos de retraso. Estoy en el andén tres.
La escuela está abierta y allí dan comida caliente y un sitio para dormir.
Mi hermano y su mujer vienen a visitarnos a finales de mes.
No puedo hablar ahora, estoy en una reunión. Te llamo luego.
La tienda está cerrada hoy, tendré que ir al mercado el sábado.
¡Enhorabuena a los dos, qué noticia tan buena! Felices fiestas y próspero año nuevo.
El hospital se ha quedado sin oxígeno. ¿Alguien puede ayudar?
El precio ha subido otra vez, ahora son mil doscientos por todo.
De nada, para eso estamos. Cualquier cosa que necesites, me dices.
Estoy en camino, llego en media hora más o menos.
Hay que salir antes de las seis para no encontrar tráfico.
He terminado el informe y te lo envío esta misma tarde.
Muchas gracias por todo, de verdad. No sé qué habríamos hecho sin ti.
¿Quién tiene la llave del almacén? Necesito sacar las herramientas.
Tenemos comida y agua suficientes para los próximos tres días.
Se me está acabando la batería, voy a apagar el teléfono un rato.
Hola a todos, ya hemos llegado y estamos bien. Mañana os cuento más.
Me alegro mucho de que estés mejor. Un abrazo muy fuerte.
¿Me puedes mandar la dirección del hotel donde os quedáis?
¿Quieres venir con nosotros el sábado? Hay sitio en el coche.
No hay luz en casi todo el pueblo por culpa de la tormenta.
Te espero en la puerta principal dentro de un cuarto de hora.
En cuanto sepamos algo más, te avisamos. Tan pronto como sea posible.
Buenas tardes, quería saber si todavía tiene habitaciones libres para este fin de semana.
¿Dónde estás ahora? ¿Puedes ver la carretera desde ahí?
Somos unas veinte personas, entre ellas cinco niños y una mujer mayor.
El helicóptero no puede aterrizar por el viento. El equipo va a pie.
¿Estás bien? ¿Necesitas ayuda? Dime algo en cuanto puedas.
La niña tiene fiebre y mucha tos. ¿Hay algún médico cerca?
Me gustaría ir, pero tengo que trabajar hasta las cinco.
¿A qué hora nos vemos y en qué sitio?
No hay agua en la fuente, así que llenad las botellas antes de salir del valle.
Por favor, confirma que has recibido este mensaje.
Todos estamos a salvo. Vamos a pasar la noche aquí y seguiremos por la mañana.
Hace mucho frío y lleva tres días nevando sin parar.
No me acuerdo de cómo se llama, pero lo he visto alguna vez.
¿Qué te parece? ¿Te viene bien el jueves por la tarde?
Dígales a los demás que la reunión se ha cambiado al martes a las diez.
Si quieres, puedes quedarte con nosotros un par de días.
Lo que pasa es que no tenemos suficiente dinero para todo lo que queríamos hacer.
¿Cuánto tiempo tardas en llegar desde la estación?
Tenemos que buscar otro camino, porque el puente está cortado.\
"""
