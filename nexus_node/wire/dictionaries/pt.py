"""Preset dictionary: wire law, never edit (CC0). See packaging/dictionary/make_dictionary.py."""

# ruff: noqa: E501

TEXT = """\
o que, os que, a que, em que, do que, de que, para que, porque, no que, com que, de um, de uma, em um, em uma, com o, com a, com os, para o, para a, para os, para as, pelo, pela, pelos, pelas, na, no, nas, nos, da, do, das, dos, ao, aos, à, às, num, numa, dele, dela, deles, nele, isso, isto, aquilo
Terminei o relatório e mando ainda hoje à tarde.
Se quiser, pode ficar com a gente uns dias.
Por que não me disse antes? Eu não sabia de nada.
O incêndio atravessou a estrada e avança para o norte.
Havia muita gente na praça e não conseguimos estacionar.
A equipe de resgate está a caminho. Fiquem onde estão e mantenham-se quentes.
A bateria está quase acabando, vou desligar o telefone por um tempo.
mãe maior mais mal mala mandar maneira mão mapa máquina mar mas medo meio melhor menina menino menos mês mesa mesmo meu minha minuto moça molhado momento montanha morar morrer mostrar mover mudar muito muitos mulher mundo música nada nadar nascer natureza neve ninguém noite nome norte nós nosso notícia nova novo número nunca olhar olhos onde ontem orelha osso outra outro outros ouvir pagar pai país palavra papel parar parede parte partir passado passar pássaro pé pedir pedra pegar peixe pela pena pensar pequeno perder perdão pergunta perigo perna pesado pescoço pessoa pessoas pior plano pobre poder polícia ponto porta porto possível pouco praia prato precisar preço pedaço preparar presente preto primeiro problema procurar pronto próprio próximo puxar
ganhar garrafa gato gelo gente governo grande grupo guardar guerra haver história hoje homem hora horas hospital idade ideia igreja igual ilha importante inteiro inverno ir irmã irmão janela jogar jovem junto lado lago lançar largo lavar leite lembrar lento ler levantar levar leve limpo língua linha livre livro longe longo lua lugar luz
Isto é uma emergência. Duas pessoas estão desaparecidas desde hoje de manhã perto da ponte velha.
baixo banco banho barato barco bastante beber bebê bem boca bola bolsa bom bonito braço branco brincar buscar cabeça cada cadeira café cair caixa calor cama caminho campo cansado cão cara carne caro carro carta casa caso cedo cem certo céu chamar chão chegar cheio chuva cidade cima claro coisa coisas começar comer comida como companhia comprar comprido conhecer conseguir contar conta contra coração corpo correr cortar costas cozinha crer criança cuidado
O comboio está vinte minutos atrasado. Estou na plataforma três.
dar debaixo decidir deixar demais dentro depressa descansar desejar devagar dever dia dias diferente difícil dinheiro direita dizer doente dor dormir durante duro ela eles embora empresa encontrar então entender entrar entre enviar errado escola escolher escrever escuro esperar esposa esquecer esquerda esse esta estado estar este estranho estudar exemplo faca fácil falar faltar família fazer fechar feio feliz férias festa ficar filha filho filme fim flor floresta fogo fome fora forte foto frente frio fruta fugir
Se vocês não tiverem notícias nossas até as dez, chamem ajuda.
Já estou chegando. Ainda estou no trabalho, te ligo mais tarde.
Eles disseram que estariam aqui às oito, mas até agora nada.
Quando é que voltas para casa? Queres que eu faça alguma coisa para comer?
Estamos todos a salvo. Vamos passar a noite aqui e continuar de manhã.
São necessários remédios, cobertores, pilhas, combustível e água potável no abrigo.
abrir acabar aceitar acontecer acordar acreditar água ainda ajudar alegre algo algum alguns ali alto amanhã amigo amigos amor andar animal ano anos antes apenas aprender aqui ar árvore assim assunto atenção atrás através aula avião avó
Parece que vai chover o dia todo, então leva um casaco.
O caminhão chega amanhã de manhã com dez caixas de comida e quatro galões de diesel.
qual qualquer quando quarto quase quebrar queda quente querer questão quintal rádio rapaz rápido razão receber rede resto rico rir roda rosto roupa rua saber sair sal sangue saúde seco seguinte segurança seguro sem semana sempre senhor sentar sentir ser sério serviço seu sim sistema só sobre sol sono sorte sozinho subir sujo sul tanto tarde telefone tempo terminar terra tirar toalha tocar todo todos tomar trabalhar trabalho transporte trem triste trocar tudo último único usar vaca vazio velho vender vento ver verão verdade verde vermelho vez vezes viagem vida vidro vila vinho vir virar visitar viver vizinho você voltar vontade voz
Precisamos de ajuda, uma pessoa está ferida e não consegue andar. Precisamos de um médico o mais depressa possível.
Olá, como você está? Espero que esteja tudo bem por aí.
O sinal está muito fraco aqui. Vou tentar de novo de um lugar mais alto.
Manda as tuas coordenadas. Mensagem recebida. Testando, alguém me ouve?
Quer vir com a gente no sábado? Tem lugar no carro.
O nível da água está subindo rápido. Todos devem sair da zona imediatamente.
Tenho que ir embora, até breve. Se cuida!
um dois três quatro cinco seis sete oito nove dez onze doze quinze vinte trinta quarenta cinquenta cem cento mil primeiro segundo terceiro metade
Vem uma grande tempestade do oeste. Procurem um lugar seguro.
Chegamos ao topo e agora vamos começar a descer.
não é, não está, não tem, não foi, não sei, não pode, que não, que é, que está, que o, que a, que eu, que ele, que você, que a gente, já está, está em, está com, estão em, foi o, foi a, vai ser, vai estar, tem que, temos que, tinha sido, pode ser, deve ser, seria bom, um pouco, mais ou menos, cada vez mais, às vezes, de novo, ao mesmo tempo, por exemplo, além disso, mesmo assim, apesar de, perto de, longe de, dentro de, em cima de, ao lado de, antes de, depois de, até que, desde que, quase sempre
Não há nada que possamos fazer neste momento.
A casa ainda está de pé, mas tem água no porão e o telhado precisa de conserto.
O carro quebrou na estrada e estamos esperando o reboque.
Antes de sair, veja se está tudo desligado e a porta fechada.
Quanto custa e a que distância fica daqui?
Tá bom. Tudo bem. Com certeza. Claro que sim. Está bem. Pode ser. Tens razão. Boa viagem. Até logo. Até já. Melhoras. Beijinhos.
Te amo e sinto muito a sua falta. Dá um beijo nas crianças.
Feliz Natal e um próspero ano novo! Parabéns, te desejo tudo de bom e muita saúde.
Você recebeu a minha última mensagem? Não tenho notícias suas desde ontem.
Está muito frio aqui e está nevando há três dias.
Podes trazer pão, leite, ovos e uma garrafa de água da loja?
As crianças se divertiram muito na praia e dormiram no carro.
O ferido está consciente e respira normalmente. Já não sangra.
segunda terça quarta quinta sexta sábado domingo janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro
Estamos no acampamento e está tudo bem. O tempo está bom e a água é limpa.
Pelo que eu sei, nada mudou desde a semana passada.
Ela machucou a perna e não consegue andar sozinha.
Muito obrigado pela ajuda, foi muito gentil da sua parte.
Não posso falar agora, estou em reunião. Te ligo à noite.
O nevoeiro é tão denso que quase não vemos o trilho. Vamos voltar para trás.
A estrada entre a aldeia e o vale está bloqueada por árvores caídas.
A entrega atrasou até a próxima quarta, vamos ter que nos virar com o que temos.
Oi, tudo bem? Já chegamos e está tudo certo. Depois conto mais.
A que horas a gente se encontra e em que lugar?
Por favor, tenha cuidado, a estrada está muito perigosa hoje à noite.
Não tem problema, fazemos isso outro dia. Não se preocupe.
A antena nova funciona bem, o nó está online e a bateria está em oitenta por cento.
A nossa casa é a terceira à esquerda, logo depois da igreja.
Ele disse que voltava a tempo do jantar, mas não atende o telefone.
O hospital ficou sem oxigênio. Alguém pode ajudar?
A menina está com febre e muita tosse. Há algum médico por perto?
Paguei a conta hoje de manhã, você me devolve o dinheiro quando puder.
Eu gostaria de ir, mas tenho que trabalhar até as cinco.
Quem tem a chave do armazém? Preciso tirar as ferramentas.
Esqueci o celular no escritório, então escreve para mim aqui.
Não há água na fonte, encham as garrafas antes de sair do vale.
Sinto muito pela sua perda, estamos todos pensando em vocês.
Não me lembro do nome dele, mas já o vi algumas vezes.
O que você acha? Quinta à tarde fica bom para você?
O helicóptero não consegue pousar por causa do vento. A equipe vai a pé.
Vou chegar atrasado, desculpa. Comecem sem mim, por favor.
Fico muito feliz que você esteja melhor. Um grande abraço.
A escola está aberta e lá há comida quente e lugar para dormir.
Depois disso descemos até o rio e comemos alguma coisa.
Diga aos outros que a reunião passou para terça às dez.
Minha mãe perguntou se vocês querem vir almoçar no domingo.
Você pode me ligar quando tiver um tempinho, por favor?
O preço subiu de novo, agora são mil e duzentos por tudo.
Assim que soubermos mais, avisamos. O mais rápido possível.
Não estou me sentindo muito bem hoje, prefiro ficar em casa.
Pode deixar o carro do lado da casa, as chaves estão debaixo do vaso.
Vire à esquerda no segundo sinal e siga em frente até o rio.
Quem vai com a gente? Quantas pessoas são no total?
Já faz mais de uma hora que estou esperando e ninguém veio.
Boa noite, dorme bem, até amanhã de manhã.
Meu irmão e a mulher dele vêm nos visitar no fim do mês.
Temos que procurar outro caminho, porque a ponte está fechada.
Por favor, confirme que recebeu esta mensagem.
A luz voltou na parte norte da cidade, mas os telefones continuam sem funcionar.
Bom dia a todos, saímos daqui a dez minutos.
Boa tarde, gostaria de saber se ainda tem quartos livres para este fim de semana.
A nossa posição é dois quilômetros a sul do passo, perto do abrigo.
Somos umas vinte pessoas, entre elas cinco crianças e uma senhora idosa.
De nada, sempre que precisar é só falar comigo.
A loja está fechada hoje, tenho que ir ao mercado no sábado.
Por causa da tempestade não há luz em quase toda a cidade.
Pode me mandar o endereço do hotel onde vocês estão?
Não encontrei a chave, deve estar em algum lugar da cozinha.
Ela quer saber se você pode buscá-la no aeroporto na sexta à noite.
Se eu puder fazer alguma coisa por vocês, é só dizer.
Ainda não sei, mas acho que sim. Vou perguntar a ele e depois te digo.
Está tudo bem? Precisa de ajuda? Dá notícias assim que puder.
Estou a caminho, chego em meia hora mais ou menos.
Temos comida e água suficientes para os próximos três dias.
Quanto tempo leva da estação até a sua casa?
Estamos andando desde cedo e estamos todos muito cansados.
Onde você está agora? Consegue ver a estrada daí?
Não acho que a gente consiga chegar antes de escurecer.\
"""
